import type { Queryable } from '../../../infra/index.js';
import { PLATFORM_COMPONENT } from '../../metering/index.js';

/** Rentals of one kind of work in one sweep: what is left over comes next time, a second later. */
export const SWEEP_BATCH = 200;

/** Rentals whose start has spent longer in its phase than it may. */
export async function findOverdueStarts(db: Queryable, now: Date): Promise<string[]> {
  return await idsOf(
    db,
    `SELECT "id" FROM "Rental"
      WHERE "phaseDeadlineAt" <= $2 AND "status" IN ('PENDING', 'PROVISIONING') ORDER BY "phaseDeadlineAt" LIMIT $1`,
    [now],
  );
}

/** Rentals whose TTL is over and whose end nobody has decided yet. */
export async function findExpired(db: Queryable, now: Date): Promise<string[]> {
  return await idsOf(
    db,
    `SELECT r."id" FROM "Rental" r JOIN "Placement" p ON p."rentalId" = r."id" AND p."current"
      WHERE r."ttlExpiresAt" <= $2 AND r."status" NOT IN ('TERMINATED', 'FAILED') AND p."desired" <> 'deleted'
      ORDER BY r."ttlExpiresAt" LIMIT $1`,
    [now],
  );
}

/** Rentals that a node took with it when it was given up. A stopped one waits for its node: it costs nothing. */
export async function findLost(db: Queryable): Promise<string[]> {
  return await idsOf(
    db,
    `SELECT r."id" FROM "HostNode" n JOIN "Rental" r ON r."nodeId" = n."id"
      WHERE n."status" = 'lost' AND r."status" IN ('PENDING', 'PROVISIONING', 'RUNNING', 'STOPPING')
      ORDER BY r."id" LIMIT $1`,
    [],
  );
}

/**
 * Running rentals whose SSH port has failed every probe since `failingSince` or longer, while probes go on and their
 * node's heartbeats come in: neither side gains by breaking SSH. The time before the node's present connection does not
 * count, since its tunnels were down with it; nor does the time while the guard was away, when nobody saw any failure.
 */
export async function findUnprovable(
  db: Queryable,
  limits: { readonly failingSince: Date; readonly probedSince: Date },
): Promise<string[]> {
  return await idsOf(
    db,
    `SELECT r."id" FROM "ProbeState" s
       JOIN "Rental" r ON r."id" = s."rentalId" AND r."status" = 'RUNNING'
       JOIN "HostNode" n ON n."id" = r."nodeId" AND n."status" IN ('online', 'busy', 'maintenance')
       JOIN LATERAL (
         SELECT w."fromAt" FROM "PortLease" l JOIN "PlatformWindow" w ON w."component" = $4 || l."proxyServerId"::text
          WHERE l."rentalId" = r."id" AND l."state" = 'live' ORDER BY w."fromAt" DESC LIMIT 1
       ) guard ON true
      WHERE s."failingSince" IS NOT NULL AND s."lastAt" >= $3
        AND greatest(s."failingSince", n."connectedAt", r."readyAt", guard."fromAt") <= $2
      ORDER BY s."failingSince" LIMIT $1`,
    [limits.failingSince, limits.probedSince, PLATFORM_COMPONENT.guard('')],
  );
}

/** A good probe of a rental that is not running yet. */
export interface ProvenRental {
  readonly id: string;
  readonly provenAt: Date;
}

/**
 * Rentals that the platform got through to since their present start began, with the first such moment: where a window of
 * good probes began, or the last good probe of one that began before. `rentalIds` null: all of them.
 */
export async function findProven(db: Queryable, rentalIds: readonly string[] | null): Promise<ProvenRental[]> {
  return await db.query<ProvenRental>(
    `SELECT r."id", min(CASE WHEN w."fromAt" >= s.since THEN w."fromAt" ELSE w."lastOkAt" END) AS "provenAt"
       FROM "Rental" r
      CROSS JOIN LATERAL (
        SELECT r."phaseStartedAt" - coalesce(sum(value::bigint), 0) * interval '1 millisecond' AS since
          FROM jsonb_each_text(r."phasesMs")) s
       JOIN "ProbeWindow" w ON w."rentalId" = r."id" AND w."lastOkAt" >= s.since
      WHERE r."status" = 'PROVISIONING' AND r."phaseDeadlineAt" IS NOT NULL
        AND ($2::uuid[] IS NULL OR r."id" = ANY ($2))
      GROUP BY r."id" ORDER BY r."id" LIMIT $1`,
    [SWEEP_BATCH, rentalIds],
  );
}

async function idsOf(db: Queryable, sql: string, params: readonly unknown[]): Promise<string[]> {
  const rows = await db.query<{ id: string }>(sql, [SWEEP_BATCH, ...params]);
  return rows.map((row) => row.id);
}
