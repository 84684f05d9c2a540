import type { Tx } from '../../../infra/index.js';
import type { NodeFence } from '../../nodes/index.js';

/** CPU, RAM and GPUs of one rental on its node. GPUs are named, since a container keeps the devices it was made with. */
export interface ComputeSlice {
  readonly rentalId: string;
  readonly placementId: string;
  readonly nodeId: string;
  readonly cpuMillicores: number;
  readonly ramMib: number;
  readonly gpuUuids: readonly string[];
}

/**
 * Allocates compute again for a stopped rental. GPUs that it was the last to use and that nobody cleaned yet are simply its
 * own again. Returns false, with nothing kept, when something is taken: the caller throws and thereby rolls its
 * transaction back. The database itself refuses a double rent (partial unique index, CHECK >= 0).
 */
export async function takeCompute(tx: Tx, slice: ComputeSlice): Promise<boolean> {
  const [capacity] = await tx.query(
    `UPDATE "NodeCapacity"
        SET "freeCpuMillicores" = "freeCpuMillicores" - $2, "freeRamMib" = "freeRamMib" - $3
      WHERE "nodeId" = $1 AND "freeCpuMillicores" >= $2 AND "freeRamMib" >= $3
      RETURNING "nodeId"`,
    [slice.nodeId, slice.cpuMillicores, slice.ramMib],
  );
  if (!capacity) return false;
  await tx.query(
    `UPDATE "CapacityAllocation" SET "computeReleasedAt" = NULL WHERE "rentalId" = $1 AND "diskReleasedAt" IS NULL`,
    [slice.rentalId],
  );
  return slice.gpuUuids.length === 0 || (await takeGpus(tx, slice));
}

async function takeGpus(tx: Tx, slice: ComputeSlice): Promise<boolean> {
  const kept = await tx.query<{ gpuUuid: string }>(
    `UPDATE "GpuAllocation" SET "state" = 'active'
      WHERE "rentalId" = $1 AND "nodeId" = $2 AND "state" = 'releasing' AND "releasedAt" IS NULL RETURNING "gpuUuid"`,
    [slice.rentalId, slice.nodeId],
  );
  const keptUuids = new Set(kept.map((gpu) => gpu.gpuUuid));
  const missing = slice.gpuUuids.filter((uuid) => !keptUuids.has(uuid));
  const taken = await tx.query(
    `INSERT INTO "GpuAllocation" ("id", "nodeId", "gpuUuid", "rentalId", "placementId", "state")
     SELECT gen_random_uuid(), $1, uuid, $2, $3, 'active' FROM unnest($4::text[]) AS uuid
     ON CONFLICT DO NOTHING RETURNING "id"`,
    [slice.nodeId, slice.rentalId, slice.placementId, missing],
  );
  return taken.length === missing.length;
}

/**
 * Gives back CPU and RAM, and marks the GPUs as releasing: they are rentable once they are known clean. Only for an
 * instance that its agent reported as stopped. Doing it twice changes nothing. What is free is counted anew, since a node
 * may have shrunk below what is rented of it.
 */
export async function releaseCompute(tx: Tx, rentalId: string, now: Date): Promise<void> {
  await lockCapacityOf(tx, rentalId);
  await tx.query(
    `WITH freed AS (
       UPDATE "CapacityAllocation" SET "computeReleasedAt" = $2
        WHERE "rentalId" = $1 AND "computeReleasedAt" IS NULL AND "diskReleasedAt" IS NULL
        RETURNING "nodeId", "cpuMillicores", "ramMib"
     ), releasing AS (
       UPDATE "GpuAllocation" SET "state" = 'releasing'
        WHERE "rentalId" = $1 AND "state" = 'active' AND "releasedAt" IS NULL
     )
     UPDATE "NodeCapacity" c
        SET "freeCpuMillicores" = greatest(c."totalCpuMillicores" - u.cpu, 0), "freeRamMib" = greatest(c."totalRamMib" - u.ram, 0)
       FROM freed f,
            LATERAL (SELECT coalesce(sum(a."cpuMillicores"), 0) AS cpu, coalesce(sum(a."ramMib"), 0) AS ram
                       FROM "CapacityAllocation" a
                      WHERE a."nodeId" = f."nodeId" AND a."rentalId" <> $1
                        AND a."computeReleasedAt" IS NULL AND a."diskReleasedAt" IS NULL) u
      WHERE c."nodeId" = f."nodeId"`,
    [rentalId, now],
  );
}

/** A statement of its own: what is counted after it sees what the last holder of the lock committed. */
async function lockCapacityOf(tx: Tx, rentalId: string): Promise<void> {
  await tx.query(
    `SELECT FROM "NodeCapacity" c JOIN "CapacityAllocation" a ON a."nodeId" = c."nodeId"
      WHERE a."rentalId" = $1 AND a."diskReleasedAt" IS NULL FOR UPDATE OF c`,
    [rentalId],
  );
}

/** Gives back the disk as well: only for a container that its agent reported as gone. Doing it twice changes nothing. */
export async function releaseAll(tx: Tx, rentalId: string, now: Date): Promise<void> {
  await releaseCompute(tx, rentalId, now);
  await tx.query(
    `WITH freed AS (
       UPDATE "CapacityAllocation" SET "diskReleasedAt" = $2
        WHERE "rentalId" = $1 AND "diskReleasedAt" IS NULL
        RETURNING "nodeId", "diskGib"
     )
     UPDATE "NodeCapacity" c
        SET "freeDiskGib" = greatest(c."totalDiskGib" - u.disk, 0)
       FROM freed f,
            LATERAL (SELECT coalesce(sum(a."diskGib"), 0) AS disk FROM "CapacityAllocation" a
                      WHERE a."nodeId" = f."nodeId" AND a."rentalId" <> $1 AND a."diskReleasedAt" IS NULL) u
      WHERE c."nodeId" = f."nodeId"`,
    [rentalId, now],
  );
}

/**
 * Frees the GPUs of a node that are releasing and that its agent reports as clean. Returns how many became free. The
 * capacity row is locked first, as every rent of the node does.
 */
export async function freeCleanGpus(tx: Tx, fence: NodeFence, gpuUuids: readonly string[], now: Date): Promise<number> {
  await tx.query(`SELECT FROM "NodeCapacity" WHERE "nodeId" = $1 FOR UPDATE`, [fence.nodeId]);
  const freed = await tx.query(
    `UPDATE "GpuAllocation" SET "releasedAt" = $4
      WHERE "nodeId" = $1 AND "gpuUuid" = ANY ($3::text[]) AND "state" = 'releasing' AND "releasedAt" IS NULL
        AND EXISTS (SELECT FROM "HostNode" WHERE "id" = $1 AND "sessionEpoch" = $2)
      RETURNING "id"`,
    [fence.nodeId, fence.sessionEpoch, gpuUuids, now],
  );
  return freed.length;
}
