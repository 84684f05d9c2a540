import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { APP_CONFIG, type AppConfig } from '../../config/index.js';
import { Logger, repeat } from '../../infra/index.js';
import { IdempotencyService } from './idempotency.service.js';

const EVERY_MS = 3_600_000;

/** Keeps the keys of the last 7 days, and no others. */
@Injectable()
export class IdempotencyTimer implements OnApplicationBootstrap, OnModuleDestroy {
  #end: (() => Promise<void>) | undefined;

  constructor(
    @Inject(APP_CONFIG) private readonly app: AppConfig,
    private readonly logger: Logger,
    private readonly keys: IdempotencyService,
  ) {}

  onApplicationBootstrap(): void {
    if (!this.app.duties.timers) return;
    this.#end = repeat('idempotency_forget', EVERY_MS, this.logger, () => this.keys.forgetExpired());
  }

  async onModuleDestroy(): Promise<void> {
    await this.#end?.();
  }
}
