import { decideHold, maxMicros, minMicros } from '../ledger/index.js';
import { type RatedTime, nextChargeMicros } from './charge.js';
import type { RentalAccount } from './rental-accounts.js';

/** What one tick, or the settlement, does with the money of one rental. Amounts in micro-dollars. */
export interface Bill {
  readonly account: RentalAccount;
  readonly chargeMicros: bigint;
  /** Moved from the renter's balance to the hold, before the charge. */
  readonly extendMicros: bigint;
  /** Given back from the hold, after the charge. */
  readonly releaseMicros: bigint;
  /** Cumulative billable time. */
  readonly billedMs: bigint;
  /** Why the rental has to stop now. */
  readonly stop: 'balance_exhausted' | 'money_cap_reached' | null;
}

/** Durations in milliseconds. */
export interface BillingTerms {
  readonly holdMs: bigint;
  readonly tickMs: bigint;
  /** How much time a hold must still cover: a stop may take so long to be decided and proven. */
  readonly marginMs: bigint;
}

/**
 * The bills of rentals that run: each is charged for its new billable time, from its hold and, where that is not enough,
 * from its renter's balance; then its hold is filled up, or the rental has to stop. Rentals of one renter share a balance
 * and are served in their order. Nothing is ever taken beyond hold, balance or cap.
 */
export function billRunning(
  accounts: readonly RentalAccount[],
  times: ReadonlyMap<string, readonly RatedTime[]>,
  terms: BillingTerms,
): Bill[] {
  const purse = new Purse(accounts);
  return accounts.map((account) => {
    const charged = chargeOf(account, times.get(account.rentalId) ?? [], purse);
    const hold = decideHold(
      {
        totalPerHourMicros: account.totalPerHourMicros,
        holdMs: terms.holdMs,
        moneyCapMicros: account.moneyCapMicros,
        chargedMicros: account.chargedMicros + charged.chargeMicros,
      },
      {
        heldMicros: account.heldMicros + charged.extendMicros - charged.chargeMicros,
        availableMicros: purse.left(account),
      },
      terms,
    );
    purse.take(account, hold.extendMicros);
    // A cap that is almost reached ends what is charged for; a start costs nothing yet.
    const stop = hold.stop === 'money_cap_reached' && account.status !== 'RUNNING' ? null : hold.stop;
    return { ...charged, extendMicros: charged.extendMicros + hold.extendMicros, releaseMicros: 0n, stop };
  });
}

/** The last bills of rentals that have stopped: one more charge, and what is left of the hold goes back. */
export function settleStopped(
  accounts: readonly RentalAccount[],
  times: ReadonlyMap<string, readonly RatedTime[]>,
): Bill[] {
  const purse = new Purse(accounts);
  return accounts.map((account) => {
    const charged = chargeOf(account, times.get(account.rentalId) ?? [], purse);
    const releaseMicros = account.heldMicros + charged.extendMicros - charged.chargeMicros;
    return { ...charged, releaseMicros, stop: null };
  });
}

type Charged = Pick<Bill, 'account' | 'chargeMicros' | 'extendMicros' | 'billedMs'>;

function chargeOf(account: RentalAccount, times: readonly RatedTime[], purse: Purse): Charged {
  const { chargedMicros, moneyCapMicros, heldMicros } = account;
  const coveredMicros = heldMicros + purse.left(account);
  const chargeMicros = nextChargeMicros({ times, chargedMicros, moneyCapMicros, coveredMicros });
  const extendMicros = maxMicros(chargeMicros - heldMicros, 0n);
  purse.take(account, extendMicros);
  const billableMs = times.reduce((sum, time) => sum + time.billableMs, 0n);
  return { account, chargeMicros, extendMicros, billedMs: maxMicros(account.billedMs, billableMs) };
}

/** The balances of renters while their rentals are billed one after the other. */
class Purse {
  readonly #left = new Map<string, bigint>();

  constructor(accounts: readonly RentalAccount[]) {
    // All rentals of a renter were read with the same balance; the smallest is the safe one should they differ.
    for (const { renterId, availableMicros } of accounts) {
      this.#left.set(renterId, minMicros(availableMicros, this.#left.get(renterId) ?? availableMicros));
    }
  }

  left({ renterId }: RentalAccount): bigint {
    return maxMicros(this.#left.get(renterId) ?? 0n, 0n);
  }

  take(account: RentalAccount, amountMicros: bigint): void {
    this.#left.set(account.renterId, this.left(account) - amountMicros);
  }
}
