import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import {
  APP_CONFIG,
  type AppConfig,
  MONEY_CONFIG,
  type MoneyConfig,
  RENTAL_CONFIG,
  type RentalConfig,
} from '../../config/index.js';
import { Logger, repeat } from '../../infra/index.js';
import { BillingService } from './billing.service.js';

/** When bills are made: running rentals by the tick, stopped ones as soon as their time for late evidence is over. */
@Injectable()
export class BillingTimers implements OnApplicationBootstrap, OnModuleDestroy {
  #ends: (() => Promise<void>)[] = [];

  constructor(
    @Inject(APP_CONFIG) private readonly app: AppConfig,
    @Inject(MONEY_CONFIG) private readonly money: MoneyConfig,
    @Inject(RENTAL_CONFIG) private readonly rentals: RentalConfig,
    private readonly logger: Logger,
    private readonly billing: BillingService,
  ) {}

  onApplicationBootstrap(): void {
    if (!this.app.duties.timers) return;
    this.#ends = [
      repeat('billing_tick', this.money.tickMs, this.logger, () => this.billing.tick()),
      repeat('billing_settle', this.rentals.sweepMs, this.logger, () => this.billing.settle()),
    ];
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all(this.#ends.map((end) => end()));
  }
}
