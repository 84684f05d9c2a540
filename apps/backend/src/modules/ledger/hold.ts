import { maxMicros, minMicros, scaleDownMicros } from './rounding.js';

export const MS_PER_HOUR = 3_600_000n;
const MS_PER_MINUTE = 60_000n;

/** What decides how much of a rental's money is put aside. Amounts in micro-dollars. */
export interface HoldTerms {
  readonly totalPerHourMicros: bigint;
  /** The hold covers this much running time. */
  readonly holdMs: bigint;
  /** The rental may never cost more than this; null when its renter set no cap. */
  readonly moneyCapMicros: bigint | null;
  readonly chargedMicros: bigint;
}

/** What one hold minute costs: the least that a money cap must allow. */
export function holdMinuteMicros(totalPerHourMicros: bigint): bigint {
  return costMicros(totalPerHourMicros, MS_PER_MINUTE);
}

/** What `ms` milliseconds cost at a rate per hour, rounded down. */
function costMicros(totalPerHourMicros: bigint, ms: bigint): bigint {
  return scaleDownMicros(totalPerHourMicros, ms, MS_PER_HOUR);
}

/** What the cap still allows; null without a cap. Never negative. */
export function capLeftMicros(terms: Pick<HoldTerms, 'moneyCapMicros' | 'chargedMicros'>): bigint | null {
  return terms.moneyCapMicros === null ? null : maxMicros(terms.moneyCapMicros - terms.chargedMicros, 0n);
}

/** How much a running rental should have on hold: the cost of the next `holdMs`, and no more than its cap still allows. */
export function holdTargetMicros(terms: HoldTerms): bigint {
  const wanted = costMicros(terms.totalPerHourMicros, terms.holdMs);
  const capLeft = capLeftMicros(terms);
  return capLeft === null ? wanted : minMicros(wanted, capLeft);
}

/** What a tick does with the hold of one running rental. */
export interface HoldDecision {
  /** Moved from available to held; never more than `availableMicros`. */
  readonly extendMicros: bigint;
  /** Why the rental has to stop now, while the hold still covers the time that a stop takes. */
  readonly stop: 'balance_exhausted' | 'money_cap_reached' | null;
}

/**
 * Extends a hold to its target as far as the balance goes, and decides whether the rental must stop.
 * `marginMs` is the time that a stop may take to be decided and proven (the next tick and late evidence): a rental whose
 * hold covers less than that stops with `balance_exhausted`; one whose cap allows less than a tick, with `money_cap_reached`.
 */
export function decideHold(
  terms: HoldTerms,
  state: { readonly heldMicros: bigint; readonly availableMicros: bigint },
  limits: { readonly marginMs: bigint; readonly tickMs: bigint },
): HoldDecision {
  const missing = maxMicros(holdTargetMicros(terms) - state.heldMicros, 0n);
  const extendMicros = minMicros(missing, maxMicros(state.availableMicros, 0n));
  if (terms.totalPerHourMicros === 0n) return { extendMicros, stop: null };
  const capLeft = capLeftMicros(terms);
  if (capLeft !== null && capLeft <= costMicros(terms.totalPerHourMicros, limits.tickMs)) {
    return { extendMicros, stop: 'money_cap_reached' };
  }
  const floorTerms = { ...terms, holdMs: minMicros(limits.marginMs, terms.holdMs / 2n) };
  const covered = state.heldMicros + extendMicros >= holdTargetMicros(floorTerms);
  return { extendMicros, stop: covered ? null : 'balance_exhausted' };
}
