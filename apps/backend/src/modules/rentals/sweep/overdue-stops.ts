import type { Queryable } from '../../../infra/index.js';
import { SWEEP_BATCH } from './due-rentals.js';

/** A stop that its node has not confirmed in time. */
export interface OverdueStop {
  readonly id: string;
  readonly renterId: string;
  readonly nodeId: string;
}

/**
 * Notes, once for each, the stops that nodes have not confirmed in time. A stop cannot fail: only the node's word, or its
 * loss, frees what the instance may still use. Nothing is charged meanwhile.
 */
export async function noteOverdueStops(db: Queryable, now: Date): Promise<OverdueStop[]> {
  return await db.query<OverdueStop>(
    `WITH due AS (
       SELECT "id" FROM "Rental" WHERE "phaseDeadlineAt" <= $1 AND "status" = 'STOPPING'
        ORDER BY "phaseDeadlineAt" LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
     ), noted AS (
       UPDATE "Rental" r SET "phaseDeadlineAt" = NULL, "updatedAt" = $1 FROM due WHERE r."id" = due."id"
       RETURNING r."id", r."renterId", r."nodeId"
     ), event AS (
       INSERT INTO "RentalEvent" ("rentalId", "type", "fromStatus", "toStatus", "message", "createdAt")
       SELECT "id", 'stop_overdue', 'STOPPING', 'STOPPING', 'The node has not confirmed the stop yet. Nothing is charged.', $1
         FROM noted
     ), told AS (
       INSERT INTO "OutboxEvent" ("accountId", "type", "subjectId", "data", "createdAt")
       SELECT "renterId", 'rental.stop_overdue', "id"::text, '{}', $1 FROM noted
     )
     SELECT "id", "renterId", "nodeId" FROM noted`,
    [now, SWEEP_BATCH],
  );
}
