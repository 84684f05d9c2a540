import type { RentalHealth } from '@dcompute/shared-types';
import type { Queryable } from '../../../infra/index.js';
import { SWEEP_BATCH } from './due-rentals.js';

/** A rental whose health is another one now. */
export interface HealthChange {
  readonly id: string;
  readonly renterId: string;
  readonly health: RentalHealth;
}

/**
 * Lets the health of rentals follow that of their nodes, with an event for each change, in one statement. Looks at nodes
 * that are not well and at rentals that were not; or at one node only. Rentals that something else works on come next time.
 */
export async function followNodes(db: Queryable, nodeId: string | null, now: Date): Promise<HealthChange[]> {
  return await db.query<HealthChange>(
    `WITH differs AS (
       SELECT r."id", health_of.health
         FROM "HostNode" n
        CROSS JOIN LATERAL (SELECT CASE n."status" WHEN 'suspect' THEN 'suspect' WHEN 'unreachable' THEN 'unreachable'
                                                   WHEN 'lost' THEN 'unreachable' ELSE 'ok' END::"RentalHealth" AS health) health_of
         JOIN "Rental" r ON r."nodeId" = n."id"
        WHERE r."status" NOT IN ('TERMINATED', 'FAILED') AND r."health" <> health_of.health
          AND CASE WHEN $1::uuid IS NULL
                   THEN n."status" IN ('suspect', 'unreachable', 'lost') OR r."health" <> 'ok' ELSE n."id" = $1 END
        ORDER BY r."id" LIMIT $2 FOR NO KEY UPDATE OF r SKIP LOCKED
     ), changed AS (
       UPDATE "Rental" r SET "health" = d.health, "updatedAt" = $3 FROM differs d WHERE r."id" = d."id"
       RETURNING r."id", r."renterId", r."health", r."status"
     ), noted AS (
       INSERT INTO "RentalEvent" ("rentalId", "type", "fromStatus", "toStatus", "data", "createdAt")
       SELECT "id", 'health_changed', "status", "status", jsonb_build_object('health', "health"), $3 FROM changed
     ), told AS (
       INSERT INTO "OutboxEvent" ("accountId", "type", "subjectId", "data", "createdAt")
       SELECT "renterId", 'rental.health_changed', "id"::text, jsonb_build_object('health', "health"), $3 FROM changed
     )
     SELECT "id", "renterId", "health" FROM changed`,
    [nodeId, SWEEP_BATCH, now],
  );
}
