import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BillingTerms, billRunning, settleStopped } from './bills.js';
import { owedMicros } from './charge.js';
import type { RentalAccount } from './rental-accounts.js';

const terms: BillingTerms = { holdMs: 600_000n, tickMs: 60_000n, marginMs: 240_000n };
const HOUR_MS = 3_600_000n;

function account(more: Partial<RentalAccount> = {}): RentalAccount {
  return {
    rentalId: 'r1',
    renterId: 'u1',
    hostId: 'h1',
    status: 'RUNNING',
    totalPerHourMicros: 600_000n,
    moneyCapMicros: null,
    chargedMicros: 0n,
    chargeSeq: 0,
    billedMs: 0n,
    heldMicros: 100_000n,
    holdMoves: 1,
    availableMicros: 1_000_000n,
    ...more,
  };
}

/** The account's whole billable time, at its present rate. */
function timesOf(accounts: readonly RentalAccount[], billableMs: bigint) {
  return new Map(
    accounts.map(({ rentalId, totalPerHourMicros }) => [rentalId, [{ totalPerHourMicros, billableMs }]] as const),
  );
}

describe('billRunning', () => {
  it('charges from the hold and fills it up again', () => {
    const accounts = [account()];
    const [bill] = billRunning(accounts, timesOf(accounts, 60_000n), terms);
    expect(bill).toMatchObject({ chargeMicros: 10_000n, extendMicros: 10_000n, billedMs: 60_000n, stop: null });
  });

  it('takes late evidence that the hold does not cover from the balance', () => {
    const accounts = [account({ heldMicros: 1000n })];
    const [bill] = billRunning(accounts, timesOf(accounts, 60_000n), terms);
    expect(bill).toMatchObject({ chargeMicros: 10_000n, extendMicros: 9000n + 100_000n, stop: null });
  });

  it('serves rentals that share a balance in their order, and stops the one that gets nothing', () => {
    const shared = { availableMicros: 10_000n, heldMicros: 50_000n };
    const accounts = [account({ rentalId: 'r1', ...shared }), account({ rentalId: 'r2', ...shared })];
    const bills = billRunning(accounts, timesOf(accounts, 60_000n), terms);
    expect(bills.map(({ extendMicros, stop }) => [extendMicros, stop])).toEqual([
      [10_000n, null],
      [0n, null],
    ]);
    const later = billRunning(accounts, timesOf(accounts, 120_000n), terms);
    expect(later.map(({ stop }) => stop)).toEqual([null, 'balance_exhausted']);
  });

  it('stops for an almost reached cap only what is charged for', () => {
    const capped = { moneyCapMicros: 10_000n, heldMicros: 10_000n };
    const stopOf = (status: RentalAccount['status']) =>
      billRunning([account({ status, ...capped })], new Map(), terms)[0]?.stop;
    expect(stopOf('RUNNING')).toBe('money_cap_reached');
    expect(stopOf('PROVISIONING')).toBeNull();
  });

  it('never shows less billable time than before', () => {
    const accounts = [account({ billedMs: 5000n, chargedMicros: 833n })];
    expect(billRunning(accounts, timesOf(accounts, 4000n), terms)[0]).toMatchObject({
      billedMs: 5000n,
      chargeMicros: 0n,
    });
  });
});

describe('settleStopped', () => {
  it('makes the last charge and gives back all that is left of the hold', () => {
    const accounts = [account({ status: 'STOPPED' })];
    const [bill] = settleStopped(accounts, timesOf(accounts, 60_000n));
    expect(bill).toMatchObject({ chargeMicros: 10_000n, extendMicros: 0n, releaseMicros: 90_000n, stop: null });
  });
});

describe('any bill', () => {
  const micros = fc.bigInt({ min: 0n, max: 10n ** 10n });
  const anyAccount = fc.record({
    renter: fc.nat({ max: 2 }),
    totalPerHourMicros: micros,
    moneyCapMicros: fc.option(micros),
    chargedMicros: micros,
    heldMicros: micros,
  });
  const balances = fc.array(micros, { minLength: 3, maxLength: 3 });
  const cases = fc.tuple(
    fc.array(anyAccount, { minLength: 1, maxLength: 8 }),
    balances,
    fc.bigInt({ min: 0n, max: 100n * HOUR_MS }),
  );

  it('takes no more than hold, balance and cap allow, and never more than is owed', () => {
    fc.assert(
      fc.property(cases, fc.boolean(), ([drawn, available, billableMs], settle) => {
        const accounts = drawn.map(({ renter, ...rest }, index) =>
          account({ ...rest, rentalId: `r${index}`, renterId: `u${renter}`, availableMicros: available[renter] ?? 0n }),
        );
        const times = timesOf(accounts, billableMs);
        const bills = settle ? settleStopped(accounts, times) : billRunning(accounts, times, terms);
        const taken = new Map<string, bigint>();
        for (const bill of bills) {
          const { renterId, heldMicros, chargedMicros, moneyCapMicros, totalPerHourMicros } = bill.account;
          const heldAfter = heldMicros + bill.extendMicros - bill.chargeMicros - bill.releaseMicros;
          expect(heldAfter).toBeGreaterThanOrEqual(0n);
          if (settle) expect(heldAfter).toBe(0n);
          for (const amount of [bill.chargeMicros, bill.extendMicros, bill.releaseMicros])
            expect(amount).toBeGreaterThanOrEqual(0n);
          if (bill.chargeMicros > 0n) {
            const total = chargedMicros + bill.chargeMicros;
            expect(total).toBeLessThanOrEqual(owedMicros([{ totalPerHourMicros, billableMs }]));
            if (moneyCapMicros !== null) expect(total).toBeLessThanOrEqual(moneyCapMicros);
          }
          taken.set(renterId, (taken.get(renterId) ?? 0n) + bill.extendMicros);
        }
        for (const [renterId, amount] of taken) {
          expect(amount).toBeLessThanOrEqual(available[Number(renterId.slice(1))] ?? 0n);
        }
      }),
    );
  });
});
