import { formatAmountMicros } from '@dcompute/shared-types';
import type { Tx } from '../../infra/index.js';
import { type LedgerEntry, type LedgerService, holdKey, holdMove, usageCharge } from '../ledger/index.js';
import type { Bill } from './bills.js';

/**
 * Writes the bills of one batch in two statements: the ledger's entries, each under its own key, and the sums that rentals
 * and holds show. The caller holds the rentals' locks. Throws when a balance has been spent meanwhile: see
 * `isInsufficientBalance`.
 */
export async function writeBills(
  tx: Tx,
  ledger: Pick<LedgerService, 'post'>,
  bills: readonly Bill[],
  context: { readonly feeBasisPoints: number; readonly now: Date; readonly settle: boolean },
): Promise<void> {
  const written = context.settle ? bills : bills.filter(changesAnything);
  if (written.length === 0) return;
  await ledger.post(
    tx,
    written.flatMap((bill) => entriesOf(bill, context.feeBasisPoints)),
  );
  await tx.query(WRITE_BILLS, [
    written.map((bill) => bill.account.rentalId),
    written.map((bill) => formatAmountMicros(bill.chargeMicros)),
    written.map((bill) => bill.billedMs),
    written.map((bill) => (bill.chargeMicros > 0n ? 1 : 0)),
    written.map((bill) => formatAmountMicros(bill.extendMicros - bill.chargeMicros - bill.releaseMicros)),
    written.map((bill) => holdMovesOf(bill).length),
    context.now,
    context.settle,
  ]);
}

function changesAnything(bill: Bill): boolean {
  return bill.chargeMicros > 0n || bill.extendMicros > 0n || bill.billedMs !== bill.account.billedMs;
}

function entriesOf(bill: Bill, feeBasisPoints: number): LedgerEntry[] {
  const { account, chargeMicros } = bill;
  const { rentalId, renterId, hostId } = account;
  const moves = holdMovesOf(bill).map(({ kind, amountMicros }, index) => {
    const idempotencyKey = holdKey(kind, rentalId, account.holdMoves + index + 1);
    return holdMove({ idempotencyKey, kind, rentalId, renterId, amountMicros });
  });
  if (chargeMicros === 0n) return moves;
  const n = account.chargeSeq + 1;
  return [...moves, usageCharge({ rentalId, n, renterId, hostId, chargeMicros, feeBasisPoints })];
}

function holdMovesOf({ extendMicros, releaseMicros }: Bill) {
  const moves = [
    { kind: 'hold_extend', amountMicros: extendMicros },
    { kind: 'hold_release', amountMicros: releaseMicros },
  ] as const;
  return moves.filter((move) => move.amountMicros > 0n);
}

const WRITE_BILLS = `
WITH bill AS (
  SELECT * FROM unnest($1::uuid[], $2::numeric[], $3::bigint[], $4::int[], $5::numeric[], $6::int[])
    AS b(rental_id, charge, billed_ms, charges, hold_change, hold_moves)
), hold AS (
  UPDATE "Hold" h
     SET "amount" = h."amount" + b.hold_change, "moves" = h."moves" + b.hold_moves, "updatedAt" = $7,
         "releasedAt" = CASE WHEN $8 THEN $7 WHEN b.hold_change > 0 THEN NULL ELSE h."releasedAt" END
    FROM bill b WHERE h."rentalId" = b.rental_id
), changed AS (
  UPDATE "Rental" r
     SET "chargedTotal" = r."chargedTotal" + b.charge, "billedMs" = b.billed_ms, "chargeSeq" = r."chargeSeq" + b.charges,
         "settledAt" = CASE WHEN $8 THEN $7 ELSE r."settledAt" END, "updatedAt" = $7
    FROM bill b WHERE r."id" = b.rental_id
  RETURNING r."id", r."renterId", r."status", r."chargedTotal", r."billedMs"
), noted AS (
  INSERT INTO "RentalEvent" ("rentalId", "type", "fromStatus", "toStatus", "data", "createdAt")
  SELECT "id", 'settled', "status", "status",
         jsonb_build_object('chargedTotal', "chargedTotal"::text, 'billableMs', "billedMs"), $7
    FROM changed WHERE $8
)
INSERT INTO "OutboxEvent" ("accountId", "type", "subjectId", "data", "createdAt")
SELECT "renterId", 'rental.settled', "id"::text,
       jsonb_build_object('chargedTotal', "chargedTotal"::text, 'billableMs', "billedMs"), $7
  FROM changed WHERE $8`;
