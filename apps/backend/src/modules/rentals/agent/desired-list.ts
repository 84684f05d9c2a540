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

/** A placement of a node with what its agent is told of it. */
export interface DesiredPlacement {
  readonly instance: DesiredInstance;
  /** The gen of the last change of `desired`; what came later changes no container. */
  readonly desiredGen: bigint;
  /** The highest gen that the agent has reported; null before its first report. */
  readonly observedGen: bigint | null;
}

/** A node's revision and those of its placements that changed after some revision. */
export interface DesiredChanges {
  readonly rev: number;
  readonly frozen: boolean;
  readonly placements: DesiredPlacement[];
}

interface NodeRow {
  readonly rev: bigint;
  readonly frozen: boolean;
}

interface PlacementRow extends NodeRow {
  readonly rentalId: string;
  readonly placementId: string;
  readonly incarnation: number;
  readonly gen: bigint;
  readonly desiredGen: bigint;
  readonly observedGen: bigint | null;
  readonly desired: DesiredState;
  readonly desiredReason: RentalEndReason | null;
  readonly specSha: string;
  readonly sshAuthorizedKeys: string[];
  readonly ttlExpiresAt: Date | null;
}

const STOP_GRACE_SECONDS = 10;

/** Below every revision: what changed after it is everything. */
const BEFORE_ALL = -1;

/** What a node should be, whole. Placements that are known to be gone are left out. Null for an unknown node. */
export async function desiredListOf(
  db: Queryable,
  tunnels: Pick<TunnelsService, 'tunnelsOf'>,
  nodeId: string,
  now: Date,
): Promise<DesiredList | null> {
  const changes = await desiredChangesOf(db, tunnels, { nodeId, sinceRev: BEFORE_ALL, now });
  if (!changes) return null;
  const { rev, frozen, placements } = changes;
  return { rev, frozen, items: placements.map((placement) => placement.instance) };
}

/**
 * What changed on a node after `sinceRev`: revision and placements of one snapshot, so that the list is never newer than
 * the revision it is sent under. Null for an unknown node.
 */
export async function desiredChangesOf(
  db: Queryable,
  tunnels: Pick<TunnelsService, 'tunnelsOf'>,
  of: { readonly nodeId: string; readonly sinceRev: number; readonly now: Date },
): Promise<DesiredChanges | null> {
  const rows = await db.query<PlacementRow | (NodeRow & { readonly rentalId: null })>(
    `SELECT n."rev", (n."frozenAt" IS NOT NULL) AS "frozen", p."rentalId", p."id" AS "placementId", p."incarnation",
            p."gen", p."desiredGen", p."observedGen", p."desired", p."desiredReason", p."specSha",
            r."sshAuthorizedKeys", r."ttlExpiresAt"
       FROM "HostNode" n
       LEFT JOIN "Placement" p ON p."nodeId" = n."id" AND p."current" AND p."nodeRev" > $2
       LEFT JOIN "Rental" r ON r."id" = p."rentalId"
      WHERE n."id" = $1
      ORDER BY p."id"`,
    [of.nodeId, of.sinceRev],
  );
  const [first] = rows;
  if (!first) return null;
  const placed = rows.filter((row): row is PlacementRow => row.rentalId !== null);
  const wanted = placed.filter((row) => row.desired !== 'deleted').map((row) => row.rentalId);
  const tunnelsByRental = await tunnels.tunnelsOf(db, wanted);
  return {
    rev: Number(first.rev),
    frozen: first.frozen,
    placements: placed.map((row) => ({
      instance: toDesiredInstance(row, tunnelsByRental.get(row.rentalId) ?? [], of.now),
      desiredGen: row.desiredGen,
      observedGen: row.observedGen,
    })),
  };
}

function toDesiredInstance(row: PlacementRow, tunnels: Tunnel[], now: Date): DesiredInstance {
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
