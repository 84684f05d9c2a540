import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type LedgerEntry, creditGrant, holdMove, shardOf, usageCharge } from './postings.js';

const RENTAL = '3f2c1f5e-8d0e-4a57-9a55-0d3f6a1f2b3c';
const RENTER = '11111111-8d0e-4a57-9a55-0d3f6a1f2b3c';
const HOST = '22222222-8d0e-4a57-9a55-0d3f6a1f2b3c';
const amount = fc.bigInt({ min: 1n, max: 10n ** 14n });

function sumOf(entry: LedgerEntry): bigint {
  return entry.postings.reduce(
    (sum, posting) => sum + (posting.type === 'CREDIT' ? posting.amountMicros : -posting.amountMicros),
    0n,
  );
}

describe('every entry', () => {
  it('is balanced and has amounts above zero (I1)', () => {
    const moves = fc.record({ kind: fc.constantFrom('hold', 'hold_extend', 'hold_release'), amountMicros: amount });
    fc.assert(
      fc.property(moves, amount, fc.integer({ min: 0, max: 10_000 }), (move, chargeMicros, feeBasisPoints) => {
        const entries = [
          holdMove({ idempotencyKey: 'k', rentalId: RENTAL, renterId: RENTER, ...move }),
          usageCharge({ rentalId: RENTAL, n: 1, renterId: RENTER, hostId: HOST, chargeMicros, feeBasisPoints }),
          creditGrant({
            idempotencyKey: 'k',
            userId: RENTER,
            amountMicros: chargeMicros,
            reason: 'r',
            operatorId: HOST,
          }),
        ];
        for (const entry of entries) {
          expect(sumOf(entry)).toBe(0n);
          for (const posting of entry.postings) expect(posting.amountMicros).toBeGreaterThan(0n);
        }
      }),
    );
  });
});

it('spreads platform rows over the shards', () => {
  expect(shardOf('00000000-0000-4000-8000-0000000000ff')).toBe(15);
  expect(shardOf('00000000-0000-4000-8000-000000000010')).toBe(0);
});
