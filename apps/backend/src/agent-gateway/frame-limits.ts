/** Counts events of the last minute. Bounded by its limit. */
export class MinuteCount {
  readonly #at: number[] = [];

  constructor(private readonly limit: number) {}

  /** Counts one event; true when it is the limit's one within a minute. */
  reaches(nowMs: number): boolean {
    while (this.#at.length > 0 && (this.#at[0] ?? 0) <= nowMs - 60_000) this.#at.shift();
    if (this.#at.length < this.limit) this.#at.push(nowMs);
    return this.#at.length >= this.limit;
  }
}

/** A burst at once, and a steady rate from then on. */
export class TokenBucket {
  #tokens: number;
  #at: number;

  constructor(
    private readonly burst: number,
    private readonly perSecond: number,
    nowMs: number,
  ) {
    this.#tokens = burst;
    this.#at = nowMs;
  }

  /** Takes one token; false when none is left. */
  take(nowMs: number): boolean {
    this.#tokens = Math.min(this.burst, this.#tokens + ((nowMs - this.#at) / 1000) * this.perSecond);
    this.#at = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
