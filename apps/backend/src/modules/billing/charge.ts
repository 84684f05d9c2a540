import { MS_PER_HOUR, capLeftMicros, minMicros, maxMicros } from '../ledger/index.js';

/** Billable time under one rate. */
export interface RatedTime {
  readonly totalPerHourMicros: bigint;
  /** Cumulative since the rental began, in milliseconds; it never shrinks as evidence arrives. */
  readonly billableMs: bigint;
}

/** What a rental owes in all: the sum of rate x time over its rates, floored once, in micro-dollars. */
export function owedMicros(times: readonly RatedTime[]): bigint {
  const product = times.reduce((sum, time) => sum + time.totalPerHourMicros * time.billableMs, 0n);
  return product / MS_PER_HOUR;
}

export interface ChargeInput {
  readonly times: readonly RatedTime[];
  readonly chargedMicros: bigint;
  readonly moneyCapMicros: bigint | null;
  /** The rental's hold plus what its renter could still add to it: nothing is charged beyond it. */
  readonly coveredMicros: bigint;
}

/**
 * The next charge of a rental: what it owes less what was charged before, within the money cap and what is covered.
 * Zero when there is nothing new. Since it works on cumulative time, order, doubling and batching of evidence change nothing.
 */
export function nextChargeMicros(input: ChargeInput): bigint {
  const due = maxMicros(owedMicros(input.times) - input.chargedMicros, 0n);
  const capLeft = capLeftMicros(input);
  const allowed = capLeft === null ? due : minMicros(due, capLeft);
  return minMicros(allowed, maxMicros(input.coveredMicros, 0n));
}
