import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideHold, holdMinuteMicros, holdTargetMicros } from './hold.js';
import { splitCharge } from './fee.js';

const terms = { totalPerHourMicros: 600_000n, holdMs: 600_000n, moneyCapMicros: null, chargedMicros: 0n };
const limits = { marginMs: 240_000n, tickMs: 60_000n };

describe('holdTargetMicros', () => {
  it('covers the next ten minutes', () => {
    expect(holdTargetMicros(terms)).toBe(100_000n);
    expect(holdMinuteMicros(600_000n)).toBe(10_000n);
  });

  it('never goes beyond what the cap still allows', () => {
    expect(holdTargetMicros({ ...terms, moneyCapMicros: 50_000n, chargedMicros: 20_000n })).toBe(30_000n);
    expect(holdTargetMicros({ ...terms, moneyCapMicros: 50_000n, chargedMicros: 50_000n })).toBe(0n);
  });
});

describe('decideHold', () => {
  it('tops the hold up to its target', () => {
    const decision = decideHold(terms, { heldMicros: 90_000n, availableMicros: 1_000_000n }, limits);
    expect(decision).toEqual({ extendMicros: 10_000n, stop: null });
  });

  it('takes what is left and goes on while the hold covers the margin', () => {
    const decision = decideHold(terms, { heldMicros: 45_000n, availableMicros: 1000n }, limits);
    expect(decision).toEqual({ extendMicros: 1000n, stop: null });
  });

  it('stops while the hold still covers the margin', () => {
    const decision = decideHold(terms, { heldMicros: 39_000n, availableMicros: 0n }, limits);
    expect(decision).toEqual({ extendMicros: 0n, stop: 'balance_exhausted' });
  });

  it('stops before the cap is reached', () => {
    const capped = { ...terms, moneyCapMicros: 100_000n, chargedMicros: 90_000n };
    const decision = decideHold(capped, { heldMicros: 10_000n, availableMicros: 1_000_000n }, limits);
    expect(decision).toEqual({ extendMicros: 0n, stop: 'money_cap_reached' });
  });

  it('never stops a free rental for money', () => {
    const free = { ...terms, totalPerHourMicros: 0n, moneyCapMicros: 0n };
    const decision = decideHold(free, { heldMicros: 0n, availableMicros: 0n }, limits);
    expect(decision).toEqual({ extendMicros: 0n, stop: null });
  });

  it('never extends by more than the balance, nor past the cap', () => {
    const amount = fc.bigInt({ min: 0n, max: 10n ** 12n });
    fc.assert(
      fc.property(amount, amount, amount, amount, fc.option(amount), (rate, charged, held, available, cap) => {
        const given = { totalPerHourMicros: rate, holdMs: 600_000n, moneyCapMicros: cap, chargedMicros: charged };
        const { extendMicros } = decideHold(given, { heldMicros: held, availableMicros: available }, limits);
        expect(extendMicros).toBeGreaterThanOrEqual(0n);
        expect(extendMicros).toBeLessThanOrEqual(available);
        if (cap !== null && extendMicros > 0n) expect(held + extendMicros + charged).toBeLessThanOrEqual(cap);
      }),
    );
  });
});

describe('splitCharge', () => {
  it('gives host and platform exactly the charge (I8)', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 15n }), fc.integer({ min: 0, max: 10_000 }), (charge, bps) => {
        const { hostMicros, feeMicros } = splitCharge(charge, bps);
        expect(hostMicros + feeMicros).toBe(charge);
        expect(feeMicros * 10_000n).toBeLessThanOrEqual(charge * BigInt(bps));
        expect((feeMicros + 1n) * 10_000n).toBeGreaterThan(charge * BigInt(bps));
      }),
    );
  });
});
