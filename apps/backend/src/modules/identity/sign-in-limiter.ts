import { Inject, Injectable } from '@nestjs/common';
import { IDENTITY_CONFIG, type IdentityConfig } from '../../config/index.js';
import { AppError, Clock, RateLimiter } from '../../infra/index.js';

/** Slows down guessing: some attempts a minute per address and account. */
@Injectable()
export class SignInLimiter {
  readonly #attempts: RateLimiter;

  constructor(
    private readonly clock: Clock,
    @Inject(IDENTITY_CONFIG) config: IdentityConfig,
  ) {
    this.#attempts = new RateLimiter(config.attemptsPerMinute, 50_000);
  }

  /** Counts one attempt. Throws request.rate_limited above the limit. */
  take(key: string): void {
    const { allowed, retryAfterSeconds } = this.#attempts.take(key, this.clock.nowMs());
    if (allowed) return;
    throw new AppError('request.rate_limited', {
      detail: `Too many attempts. Try again in ${retryAfterSeconds} seconds.`,
      retryAfterSeconds,
    });
  }
}
