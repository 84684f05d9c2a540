import { Module } from '@nestjs/common';
import { LedgerModule } from '../ledger/index.js';
import { RentalsModule } from '../rentals/index.js';
import { BillingTimers } from './billing-timers.js';
import { BillingService } from './billing.service.js';

/** Charges for proven time, and nothing else. */
@Module({
  imports: [LedgerModule, RentalsModule],
  providers: [BillingService, BillingTimers],
  exports: [BillingService],
})
export class BillingModule {}
