import { LIMITS, type RunUntil } from '@dcompute/shared-types';
import type { Queryable } from '../../../infra/index.js';

/**
 * How many milliseconds from now each instance that should run on a node may go on without contact: the offline grace,
 * or less where the rental's TTL ends before. Those that end first come first, since one message holds a limited number.
 */
export async function runUntilOf(
  db: Queryable,
  nodeId: string,
  offlineGraceMs: number,
  now: Date,
): Promise<RunUntil[]> {
  const rows = await db.query<{ rentalId: string; ttlExpiresAt: Date | null }>(
    `SELECT r."id" AS "rentalId", r."ttlExpiresAt"
       FROM "Placement" p JOIN "Rental" r ON r."id" = p."rentalId"
      WHERE p."nodeId" = $1 AND p."current" AND p."desired" = 'running'
      ORDER BY r."ttlExpiresAt" NULLS LAST, r."id" LIMIT $2`,
    [nodeId, LIMITS.instancesPerBeat],
  );
  return rows.map(({ rentalId, ttlExpiresAt }) => {
    const ttlMs = ttlExpiresAt === null ? offlineGraceMs : ttlExpiresAt.getTime() - now.getTime();
    return { rental_id: rentalId, remaining_ms: Math.max(0, Math.min(ttlMs, offlineGraceMs)) };
  });
}
