import { formatAmountMicros, parseAmountMicros } from '@dcompute/shared-types';
import { AppError } from '../../../infra/index.js';
import { holdMinuteMicros, holdTargetMicros } from '../../ledger/index.js';

/** Money of a rental that is about to start; decimal strings as in the database. */
export interface HoldRequest {
  readonly totalPerHour: string;
  readonly moneyCap: string | null;
  readonly chargedTotal: string;
  /** What the rental already has on hold: a restart before the last settlement. */
  readonly held: string;
  /** What the renter has available. */
  readonly balance: string;
}

/**
 * How much more goes on hold before a rental starts, in micro-dollars: the next `holdMs`, within the cap. Throws
 * `rental.money_cap_too_low` when the cap does not even allow one minute, and `rental.insufficient_funds` naming the
 * missing amount when the balance is too low.
 */
export function firstHoldMicros(request: HoldRequest, holdMs: bigint): bigint {
  const terms = {
    totalPerHourMicros: parseAmountMicros(request.totalPerHour),
    holdMs,
    moneyCapMicros: request.moneyCap === null ? null : parseAmountMicros(request.moneyCap),
    chargedMicros: parseAmountMicros(request.chargedTotal),
  };
  const minute = holdMinuteMicros(terms.totalPerHourMicros);
  const target = holdTargetMicros(terms);
  if (target < minute) {
    throw new AppError('rental.money_cap_too_low', {
      detail: `The money cap leaves ${formatAmountMicros(target)} dollars; one minute of this rental costs ${formatAmountMicros(minute)}.`,
    });
  }
  const missing = target - parseAmountMicros(request.held);
  if (missing <= 0n) return 0n;
  const balance = parseAmountMicros(request.balance);
  if (balance < missing) throw insufficientFunds(missing - balance);
  return missing;
}

/** The refusal of a start that the balance does not cover. `missingMicros` null: it was spent while we looked. */
export function insufficientFunds(missingMicros: bigint | null): AppError {
  const missing = missingMicros === null ? 'more money' : `${formatAmountMicros(missingMicros)} dollars more`;
  return new AppError('rental.insufficient_funds', {
    detail: `The balance has to cover the first minutes of the rental: ${missing} are needed. Add credit and try again.`,
  });
}
