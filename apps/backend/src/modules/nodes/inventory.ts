import type { NodeSpecs } from '@dcompute/shared-types';
import type { Tx } from '../../infra/index.js';

/** What a node can give away in all. Millicores of hardware threads, since that is what a container is limited by. */
function totalsOf(specs: NodeSpecs) {
  return { cpuMillicores: specs.cpu.threads * 1000, ramMib: specs.ram_mib, diskGib: specs.disk_gib };
}

/**
 * Sets a node's capacity from its specs: what is free is what is not allocated, never below zero (I9). The caller holds
 * the lock of the capacity row.
 */
export async function writeCapacity(tx: Tx, nodeId: string, specs: NodeSpecs): Promise<void> {
  const totals = totalsOf(specs);
  await tx.query(
    `WITH used AS (
       SELECT coalesce(sum("cpuMillicores") FILTER (WHERE "computeReleasedAt" IS NULL), 0)::int AS cpu,
              coalesce(sum("ramMib") FILTER (WHERE "computeReleasedAt" IS NULL), 0)::int AS ram,
              coalesce(sum("diskGib"), 0)::int AS disk
         FROM "CapacityAllocation" WHERE "nodeId" = $1 AND "diskReleasedAt" IS NULL
     )
     UPDATE "NodeCapacity" c
        SET "totalCpuMillicores" = $2::int, "freeCpuMillicores" = greatest($2::int - used.cpu, 0),
            "totalRamMib" = $3::int, "freeRamMib" = greatest($3::int - used.ram, 0),
            "totalDiskGib" = $4::int, "freeDiskGib" = greatest($4::int - used.disk, 0)
       FROM used WHERE c."nodeId" = $1`,
    [nodeId, totals.cpuMillicores, totals.ramMib, totals.diskGib],
  );
}

/**
 * Writes the GPUs of a node. One that is gone stays as a row that cannot be rented, since rentals name it. Returns the
 * uuids that are new here while another node still has them: one physical GPU cannot be in two machines.
 */
export async function writeGpus(tx: Tx, nodeId: string, specs: NodeSpecs): Promise<string[]> {
  const gpus = [...new Map(specs.gpus.map((gpu) => [gpu.uuid, gpu])).values()];
  const doubled = await tx.query<{ uuid: string }>(
    `SELECT DISTINCT elsewhere."uuid" FROM "NodeGpu" elsewhere
      WHERE elsewhere."uuid" = ANY ($2::text[]) AND elsewhere."nodeId" <> $1 AND elsewhere."healthy"
        AND NOT EXISTS (SELECT FROM "NodeGpu" here
                         WHERE here."nodeId" = $1 AND here."uuid" = elsewhere."uuid" AND here."healthy")
      ORDER BY 1`,
    [nodeId, gpus.map((gpu) => gpu.uuid)],
  );
  await tx.query(
    `WITH reported AS (
       SELECT * FROM unnest($2::text[], $3::int[], $4::text[], $5::int[]) AS g("uuid", "index", "model", "vramMib")
     ), gone AS (
       UPDATE "NodeGpu" SET "healthy" = false
        WHERE "nodeId" = $1 AND "healthy" AND "uuid" NOT IN (SELECT "uuid" FROM reported)
     )
     INSERT INTO "NodeGpu" ("nodeId", "uuid", "index", "model", "vramMib", "healthy")
     SELECT $1, "uuid", "index", "model", "vramMib", true FROM reported ORDER BY "uuid"
     ON CONFLICT ("nodeId", "uuid") DO UPDATE
       SET "index" = excluded."index", "model" = excluded."model", "vramMib" = excluded."vramMib", "healthy" = true`,
    [
      nodeId,
      gpus.map((gpu) => gpu.uuid),
      gpus.map((gpu) => gpu.index),
      gpus.map((gpu) => gpu.model),
      gpus.map((gpu) => gpu.vram_mib),
    ],
  );
  return doubled.map((gpu) => gpu.uuid);
}
