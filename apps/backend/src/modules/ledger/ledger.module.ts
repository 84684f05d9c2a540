import { Module } from '@nestjs/common';
import { LedgerService } from './ledger.service.js';

/** Money: the double-entry ledger and what accounts and operators see of it. */
@Module({ providers: [LedgerService], exports: [LedgerService] })
export class LedgerModule {}
