import type { HostNode, LocationData, NodeSpecs, NodeStatus, PricingConfig } from '@dcompute/shared-types';

/** The columns that `toHostNode` needs, of a "HostNode" named n and its "NodeCapacity" named c. */
export const NODE_SELECT = `
  SELECT n."id", n."publicId", n."ownerId", n."name", n."specs", n."pricingConfig", n."status", n."locationData",
         n."agentVersion", n."lastSeenAt", n."frozenReason", n."cloneSuspectedAt", n."draining", n."rentableByOwnerOnly",
         n."createdAt", c."totalCpuMillicores", c."freeCpuMillicores", c."totalRamMib", c."freeRamMib",
         c."totalDiskGib", c."freeDiskGib"
    FROM "HostNode" n JOIN "NodeCapacity" c ON c."nodeId" = n."id"`;

/** A row of `NODE_SELECT`. */
export interface NodeRow {
  readonly id: string;
  readonly publicId: number;
  readonly ownerId: string;
  readonly name: string;
  readonly specs: NodeSpecs;
  readonly pricingConfig: PricingConfig;
  readonly status: NodeStatus;
  readonly locationData: LocationData | null;
  readonly agentVersion: string | null;
  readonly lastSeenAt: Date | null;
  readonly frozenReason: string | null;
  readonly cloneSuspectedAt: Date | null;
  readonly draining: boolean;
  readonly rentableByOwnerOnly: boolean;
  readonly createdAt: Date;
  readonly totalCpuMillicores: number;
  readonly freeCpuMillicores: number;
  readonly totalRamMib: number;
  readonly freeRamMib: number;
  readonly totalDiskGib: number;
  readonly freeDiskGib: number;
}

const CLONE_SENTENCE =
  'Another machine answers under the identity of this node, or one of its GPUs is also in another node. ' +
  'It has no offers until an operator confirms.';

/** A node as JSON carries it. */
export function toHostNode(row: NodeRow): HostNode {
  return {
    id: row.id,
    publicId: row.publicId,
    ownerId: row.ownerId,
    name: row.name,
    specs: row.specs,
    pricingConfig: row.pricingConfig,
    status: row.status,
    locationData: row.locationData,
    agentVersion: row.agentVersion,
    lastSeenAt: row.lastSeenAt?.toISOString() ?? null,
    frozenReason: row.frozenReason ?? (row.cloneSuspectedAt ? CLONE_SENTENCE : null),
    draining: row.draining,
    rentableByOwnerOnly: row.rentableByOwnerOnly,
    capacity: {
      totalCpuMillicores: row.totalCpuMillicores,
      freeCpuMillicores: row.freeCpuMillicores,
      totalRamMib: row.totalRamMib,
      freeRamMib: row.freeRamMib,
      totalDiskGib: row.totalDiskGib,
      freeDiskGib: row.freeDiskGib,
    },
    createdAt: row.createdAt.toISOString(),
  };
}
