/** A tunnel that was just opened is probed at short, growing intervals, for so long at most. */
export const EAGER_LIMIT_MS = 120_000;
const EAGER_MS = { first: 5, growth: 1.5, most: 500 };
const JITTER = 0.1;

/** Milliseconds before the next eager probe; `attempt` counts from 0. */
export function eagerDelayMs(attempt: number): number {
  return Math.min(EAGER_MS.most, EAGER_MS.first * EAGER_MS.growth ** attempt);
}

/** Milliseconds before the next regular probe: the interval, give or take a tenth, so that probes spread. `random` is in [0, 1). */
export function regularDelayMs(intervalMs: number, random: number): number {
  return intervalMs * (1 - JITTER + 2 * JITTER * random);
}
