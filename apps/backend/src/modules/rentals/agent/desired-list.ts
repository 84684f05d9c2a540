import type { DesiredInstance, DesiredState, RentalEndReason, Tunnel } from '@dcompute/shared-types';
import type { Queryable } from '../../../infra/index.js';
import type { TunnelsService } from '../../tunnels/index.js';

/** The desired list of a node, as of one revision. */
export interface DesiredList {
  readonly rev: number;
  /** While true nothing may be stopped or removed on the node (R6). */
  readonly frozen: boolean;
  readonly items: DesiredInstance[];
}

interface DesiredRow {
  readonly rev: bigint;
  readonly frozen: boolean;
  readonly rentalId: string | null;
  readonly placementId: string;
  readonly incarnation: number;
  readonly gen: bigint;
  readonly desired: DesiredState;
  readonly desiredReason: RentalEndReason | null;
  readonly specSha: string;
  readonly sshAuthorizedKeys: string[];
  readonly ttlExpiresAt: Date | null;
}

const STOP_GRACE_SECONDS = 10;

/**
 * What a node should be, whole: revision and placements of one snapshot, so that the list is never newer than the
 * revision it is sent under. Placements that are known to be gone are left out. Null for an unknown node.
 */
export async function desiredListOf(
  db: Queryable,
  tunnels: Pick<TunnelsService, 'tunnelsOf'>,
  nodeId: string,
  now: Date,
): Promise<DesiredList | null> {
  const rows = await db.query<DesiredRow>(
    `SELECT n."rev", (n."frozenAt" IS NOT NULL) AS "frozen", p."rentalId", p."id" AS "placementId", p."incarnation",
            p."gen", p."desired", p."desiredReason", p."specSha", r."sshAuthorizedKeys", r."ttlExpiresAt"
       FROM "HostNode" n
       LEFT JOIN "Placement" p ON p."nodeId" = n."id" AND p."current"
       LEFT JOIN "Rental" r ON r."id" = p."rentalId"
      WHERE n."id" = $1
      ORDER BY p."id"`,
    [nodeId],
  );
  const [first] = rows;
  if (!first) return null;
  const placed = rows.filter((row): row is DesiredRow & { rentalId: string } => row.rentalId !== null);
  const wanted = placed.filter((row) => row.desired !== 'deleted').map((row) => row.rentalId);
  const tunnelsByRental = await tunnels.tunnelsOf(db, wanted);
  return {
    rev: Number(first.rev),
    frozen: first.frozen,
    items: placed.map((row) => toDesiredInstance(row, tunnelsByRental.get(row.rentalId) ?? [], now)),
  };
}

function toDesiredInstance(row: DesiredRow & { rentalId: string }, tunnels: Tunnel[], now: Date): DesiredInstance {
  const ttlMs = row.ttlExpiresAt === null ? null : Math.max(0, row.ttlExpiresAt.getTime() - now.getTime());
  return {
    rental_id: row.rentalId,
    placement_id: row.placementId,
    incarnation: row.incarnation,
    gen: Number(row.gen),
    desired: row.desired,
    ...(row.desiredReason && { reason: row.desiredReason }),
    spec_sha: row.specSha,
    ssh_keys: row.sshAuthorizedKeys,
    tunnels,
    ...(ttlMs !== null && { ttl_remaining_ms: ttlMs }),
    stop_grace_seconds: STOP_GRACE_SECONDS,
  };
}
