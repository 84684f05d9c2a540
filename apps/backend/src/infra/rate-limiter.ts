const WINDOW_MS = 60_000;

/** What is left of a caller's quota after a request. */
export interface Quota {
  readonly allowed: boolean;
  readonly limit: number;
  readonly remaining: number;
  /** Until the quota is whole again. */
  readonly resetSeconds: number;
  /** Until the next request is allowed; 0 when this one was. */
  readonly retryAfterSeconds: number;
}

interface Bucket {
  tokens: number;
  updatedMs: number;
}

/**
 * Token buckets in memory: `perMinute` requests at once, refilled evenly. Bounded to `maxCallers`; the ones that were
 * silent the longest are forgotten first, which at worst gives them a full bucket again.
 */
export class RateLimiter {
  readonly #buckets = new Map<string, Bucket>();

  constructor(
    private readonly perMinute: number,
    private readonly maxCallers = 100_000,
  ) {}

  /** Counts one request of `caller` at `nowMs`. */
  take(caller: string, nowMs: number): Quota {
    const bucket = this.#refilled(caller, nowMs);
    const allowed = bucket.tokens >= 1;
    if (allowed) bucket.tokens -= 1;
    this.#remember(caller, bucket);
    const secondsFor = (tokens: number) => Math.ceil((Math.max(tokens, 0) * WINDOW_MS) / this.perMinute / 1000);
    return {
      allowed,
      limit: this.perMinute,
      remaining: Math.floor(bucket.tokens),
      resetSeconds: secondsFor(this.perMinute - bucket.tokens),
      retryAfterSeconds: allowed ? 0 : Math.max(secondsFor(1 - bucket.tokens), 1),
    };
  }

  #refilled(caller: string, nowMs: number): Bucket {
    const known = this.#buckets.get(caller);
    if (!known) return { tokens: this.perMinute, updatedMs: nowMs };
    const refill = (Math.max(nowMs - known.updatedMs, 0) * this.perMinute) / WINDOW_MS;
    return { tokens: Math.min(known.tokens + refill, this.perMinute), updatedMs: nowMs };
  }

  /** Insertion order of the map is the order of last use. */
  #remember(caller: string, bucket: Bucket): void {
    this.#buckets.delete(caller);
    this.#buckets.set(caller, bucket);
    const oldest = this.#buckets.size > this.maxCallers ? this.#buckets.keys().next().value : undefined;
    if (oldest !== undefined) this.#buckets.delete(oldest);
  }
}
