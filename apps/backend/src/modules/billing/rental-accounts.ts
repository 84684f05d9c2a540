import type { RentalStatus } from '@dcompute/shared-types';
import { parseAmountMicros } from '@dcompute/shared-types';
import type { Tx } from '../../infra/index.js';

/** The money side of one rental, as of its lock. Amounts in micro-dollars. */
export interface RentalAccount {
  readonly rentalId: string;
  readonly renterId: string;
  /** The owner of its node, who earns. */
  readonly hostId: string;
  readonly status: RentalStatus;
  readonly totalPerHourMicros: bigint;
  readonly moneyCapMicros: bigint | null;
  readonly chargedMicros: bigint;
  /** Charges so far: the next one has the number after it. */
  readonly chargeSeq: number;
  readonly billedMs: bigint;
  readonly heldMicros: bigint;
  /** Moves of the hold so far. */
  readonly holdMoves: number;
  /** What its renter could still add to the hold, when it was read. */
  readonly availableMicros: bigint;
}

interface AccountRow {
  readonly rentalId: string;
  readonly renterId: string;
  readonly hostId: string;
  readonly status: RentalStatus;
  readonly totalPerHour: string;
  readonly moneyCap: string | null;
  readonly chargedTotal: string;
  readonly chargeSeq: number;
  readonly billedMs: bigint;
  readonly held: string;
  readonly holdMoves: number;
  readonly available: string;
}

/** Locks a batch of rentals that run, by id after `afterId`. What something else works on is left for the next tick. */
export async function lockRunning(tx: Tx, afterId: string, limit: number): Promise<string[]> {
  return await lock(tx, `r."status" = 'RUNNING'`, [afterId, limit]);
}

/** Locks rentals that their host resumed after their hold had been released: they need a new one. */
export async function lockResumed(tx: Tx, afterId: string, limit: number): Promise<string[]> {
  const resumed = `r."status" = 'PROVISIONING' AND r."phaseDeadlineAt" IS NOT NULL
    AND EXISTS (SELECT FROM "Hold" h WHERE h."rentalId" = r."id" AND h."releasedAt" IS NOT NULL)`;
  return await lock(tx, resumed, [afterId, limit]);
}

/**
 * Locks rentals that have stopped and wait for their last charge: since `stoppedBefore` or longer, so that late evidence
 * had its time; at once where they never ran, since nothing can come.
 */
export async function lockUnsettled(tx: Tx, stoppedBefore: Date, afterId: string, limit: number): Promise<string[]> {
  const unsettled = `r."stopDecidedAt" IS NOT NULL AND r."settledAt" IS NULL
    AND (r."stopDecidedAt" <= $3 OR NOT EXISTS (SELECT FROM "RunningPeriod" p WHERE p."rentalId" = r."id"))`;
  return await lock(tx, unsettled, [afterId, limit, stoppedBefore]);
}

/** In the common order of ids. The lock lets rows that name the rental (proof of time, events) be written meanwhile. */
async function lock(tx: Tx, condition: string, params: readonly unknown[]): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(
    `SELECT r."id" FROM "Rental" r WHERE r."id" > $1 AND ${condition} ORDER BY r."id" LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED`,
    params,
  );
  return rows.map((row) => row.id);
}

/** The money side of locked rentals, by id. A statement of its own: it sees what the last holders of the locks committed. */
export async function readAccounts(tx: Tx, rentalIds: readonly string[], now: Date): Promise<RentalAccount[]> {
  const rows = await tx.query<AccountRow>(
    `SELECT r."id" AS "rentalId", r."renterId", n."ownerId" AS "hostId", r."status", r."moneyCap", r."chargedTotal",
            r."chargeSeq", r."billedMs", h."amount" AS "held", h."moves" AS "holdMoves",
            coalesce(a."balance", 0) AS "available",
            coalesce((SELECT x."totalPerHour" FROM "RentalRate" x WHERE x."rentalId" = r."id" AND x."validFrom" <= $2
                       ORDER BY x."validFrom" DESC LIMIT 1), r."costPerHour") AS "totalPerHour"
       FROM "Rental" r
       JOIN "HostNode" n ON n."id" = r."nodeId"
       JOIN "Hold" h ON h."rentalId" = r."id"
       LEFT JOIN "LedgerAccount" a ON a."userId" = r."renterId" AND a."kind" = 'renter_available' AND a."shard" = 0
      WHERE r."id" = ANY ($1::uuid[])
      ORDER BY r."id"`,
    [rentalIds, now],
  );
  return rows.map(({ totalPerHour, moneyCap, chargedTotal, held, available, ...row }) => ({
    ...row,
    totalPerHourMicros: parseAmountMicros(totalPerHour),
    moneyCapMicros: moneyCap === null ? null : parseAmountMicros(moneyCap),
    chargedMicros: parseAmountMicros(chargedTotal),
    heldMicros: parseAmountMicros(held),
    availableMicros: parseAmountMicros(available),
  }));
}
