import { Injectable } from '@nestjs/common';
import { AppError, Clock } from '../../infra/index.js';

const ATTEMPTS = 10;
const WINDOW_MS = 60_000;
const MAX_ENTRIES = 50_000;

/** Slows down guessing: ten attempts a minute per address and account. Bounded: the oldest entries go first. */
@Injectable()
export class SignInLimiter {
  readonly #attempts = new Map<string, { count: number; resetAt: number }>();

  constructor(private readonly clock: Clock) {}

  /** Counts one attempt. Throws request.rate_limited above the limit. */
  take(key: string): void {
    const now = this.clock.nowMs();
    const known = this.#attempts.get(key);
    const entry = known && known.resetAt > now ? known : { count: 0, resetAt: now + WINDOW_MS };
    entry.count += 1;
    this.#attempts.delete(key);
    this.#attempts.set(key, entry);
    const oldest = this.#attempts.size > MAX_ENTRIES ? this.#attempts.keys().next().value : undefined;
    if (oldest !== undefined) this.#attempts.delete(oldest);
    if (entry.count > ATTEMPTS) {
      const retryAfterSeconds = Math.ceil((entry.resetAt - now) / 1000);
      throw new AppError('request.rate_limited', { detail: `Too many attempts. Try again in ${retryAfterSeconds} seconds.`, retryAfterSeconds });
    }
  }
}
