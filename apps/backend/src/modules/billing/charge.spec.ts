import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextChargeMicros, owedMicros } from './charge.js';

const rate = fc.bigInt({ min: 0n, max: 10n ** 9n });
const PLENTY = 10n ** 18n;

describe('owedMicros', () => {
  it('is floor(rate x milliseconds / 3,600,000)', () => {
    expect(owedMicros([{ totalPerHourMicros: 1_000_000n, billableMs: 3_599n }])).toBe(999n);
  });

  it('floors the sum over several rates once', () => {
    const times = [
      { totalPerHourMicros: 1n, billableMs: 1_800_000n },
      { totalPerHourMicros: 1n, billableMs: 1_800_000n },
    ];
    expect(owedMicros(times)).toBe(1n);
  });
});

describe('nextChargeMicros', () => {
  it('charges the same in all, however the evidence is batched (I6)', () => {
    const steps = fc.array(fc.bigInt({ min: 0n, max: 10_000_000n }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(rate, steps, (totalPerHourMicros, arrivals) => {
        let billableMs = 0n;
        let chargedMicros = 0n;
        for (const arrived of arrivals) {
          billableMs += arrived;
          const times = [{ totalPerHourMicros, billableMs }];
          const input = { times, moneyCapMicros: null, coveredMicros: PLENTY };
          chargedMicros += nextChargeMicros({ ...input, chargedMicros });
          expect(nextChargeMicros({ ...input, chargedMicros })).toBe(0n);
        }
        expect(chargedMicros).toBe(owedMicros([{ totalPerHourMicros, billableMs }]));
      }),
    );
  });

  it('never charges beyond the cap or what is covered', () => {
    const amount = fc.bigInt({ min: 0n, max: 10n ** 12n });
    fc.assert(
      fc.property(rate, amount, amount, amount, amount, (totalPerHourMicros, billableMs, charged, cap, covered) => {
        const charge = nextChargeMicros({
          times: [{ totalPerHourMicros, billableMs }],
          chargedMicros: charged,
          moneyCapMicros: cap,
          coveredMicros: covered,
        });
        expect(charge).toBeGreaterThanOrEqual(0n);
        expect(charge).toBeLessThanOrEqual(covered);
        if (charge > 0n) expect(charged + charge).toBeLessThanOrEqual(cap);
      }),
    );
  });
});
