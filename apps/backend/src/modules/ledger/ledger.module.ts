import { Module } from '@nestjs/common';
import { IdempotencyModule } from '../idempotency/index.js';
import { IdentityModule } from '../identity/index.js';
import { CreditsService } from './credits.service.js';
import { LedgerController } from './ledger.controller.js';
import { LedgerService } from './ledger.service.js';
import { OperatorLedgerController } from './operator-ledger.controller.js';

/** Money: the double-entry ledger and what accounts and operators see of it. */
@Module({
  imports: [IdempotencyModule, IdentityModule],
  controllers: [LedgerController, OperatorLedgerController],
  providers: [LedgerService, CreditsService],
  exports: [LedgerService],
})
export class LedgerModule {}
