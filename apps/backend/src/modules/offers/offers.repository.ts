import type { Offer, PricingConfig, Rates } from '@dcompute/shared-types';
import type { Queryable, Tx } from '../../infra/index.js';

/** What a node's offers are made from. */
export interface NodeForOffers {
  readonly pricingConfig: PricingConfig;
  readonly cpuMillicores: number;
  readonly ramMib: number;
  readonly diskGib: number;
  readonly gpuModels: string[];
}

/** An offer as it is stored, but for what the database fills in. */
export interface OfferRecord {
  readonly id: string;
  readonly shapeKey: string;
  readonly gpuModel: string | null;
  readonly gpuCount: number;
  readonly cpuMillicores: number;
  readonly ramMib: number;
  readonly diskGib: number;
  readonly rates: Rates;
}

export async function findNodeForOffers(db: Queryable, nodeId: string): Promise<NodeForOffers | null> {
  const [node] = await db.query<NodeForOffers>(
    `SELECT n."pricingConfig", c."totalCpuMillicores" AS "cpuMillicores", c."totalRamMib" AS "ramMib",
            c."totalDiskGib" AS "diskGib",
            coalesce((SELECT array_agg(g."model" ORDER BY g."index") FROM "NodeGpu" g
                       WHERE g."nodeId" = n."id" AND g."healthy"), '{}') AS "gpuModels"
       FROM "HostNode" n JOIN "NodeCapacity" c ON c."nodeId" = n."id"
      WHERE n."id" = $1`,
    [nodeId],
  );
  return node ?? null;
}

/** Writes a node's offers; shapes that it no longer has are retired and keep their row, so that rentals can name it. */
export async function replaceOffers(tx: Tx, nodeId: string, offers: readonly OfferRecord[]): Promise<void> {
  await tx.query(
    `WITH shape AS (
       SELECT * FROM jsonb_to_recordset($2::jsonb) AS s("id" uuid, "shapeKey" text, "gpuModel" text, "gpuCount" int,
         "cpuMillicores" int, "ramMib" int, "diskGib" int, "rates" jsonb)
     ), gone AS (
       UPDATE "Offer" SET "retired" = true, "available" = false, "updatedAt" = now()
        WHERE "nodeId" = $1 AND NOT "retired" AND "id" NOT IN (SELECT "id" FROM shape)
     )
     INSERT INTO "Offer" ("id", "nodeId", "shapeKey", "gpuModel", "gpuCount", "cpuMillicores", "ramMib", "diskGib",
         "pricePerHour", "rates", "available", "retired", "updatedAt")
     SELECT "id", $1, "shapeKey", "gpuModel", "gpuCount", "cpuMillicores", "ramMib", "diskGib",
         ("rates"->>'totalPerHour')::numeric, "rates", false, false, now()
       FROM shape ORDER BY "id"
     ON CONFLICT ("nodeId", "shapeKey") DO UPDATE
       SET "gpuModel" = excluded."gpuModel", "gpuCount" = excluded."gpuCount", "cpuMillicores" = excluded."cpuMillicores",
           "ramMib" = excluded."ramMib", "diskGib" = excluded."diskGib", "pricePerHour" = excluded."pricePerHour",
           "rates" = excluded."rates", "retired" = false, "updatedAt" = now()`,
    [nodeId, JSON.stringify(offers)],
  );
}

/**
 * Sets `available` of all offers of these nodes to what their free capacity and health allow now; rows that do not change
 * are not written. Offers of a node that only its owner may rent stay available: search and rent show them to nobody else.
 */
export async function refreshAvailability(tx: Tx, nodeIds: readonly string[]): Promise<void> {
  // A statement of its own: the update below then sees what the last holder of the lock committed.
  await tx.query(`SELECT FROM "NodeCapacity" WHERE "nodeId" = ANY ($1::uuid[]) ORDER BY "nodeId" FOR UPDATE`, [
    nodeIds,
  ]);
  await tx.query(
    `WITH fact AS (
       SELECT o."id", (NOT o."retired" AND n."status" IN ('online', 'busy') AND n."frozenAt" IS NULL AND NOT n."draining"
           AND n."cloneSuspectedAt" IS NULL AND n."evictedAt" IS NULL
           AND o."cpuMillicores" <= c."freeCpuMillicores" AND o."ramMib" <= c."freeRamMib" AND o."diskGib" <= c."freeDiskGib"
           AND (o."gpuCount" = 0 OR o."gpuCount" <= (
             SELECT count(*) FROM "NodeGpu" g
              WHERE g."nodeId" = o."nodeId" AND g."model" = o."gpuModel" AND g."healthy"
                AND NOT EXISTS (SELECT FROM "GpuAllocation" a WHERE a."nodeId" = g."nodeId" AND a."gpuUuid" = g."uuid"
                                   AND a."releasedAt" IS NULL)))) AS "available"
         FROM "Offer" o
         JOIN "HostNode" n ON n."id" = o."nodeId"
         JOIN "NodeCapacity" c ON c."nodeId" = o."nodeId"
        WHERE o."nodeId" = ANY ($1::uuid[])
     )
     UPDATE "Offer" o SET "available" = f."available", "updatedAt" = now()
       FROM fact f WHERE o."id" = f."id" AND o."available" <> f."available"`,
    [nodeIds],
  );
}

/** Filters of a search, with numbers as the columns have them. Null: no such filter. */
export interface OfferFilter {
  readonly gpuModel: string | null;
  readonly minGpuCount: number | null;
  readonly maxGpuCount: number | null;
  readonly minCpuMillicores: number | null;
  readonly minRamMib: number | null;
  readonly minDiskGib: number | null;
  readonly maxPricePerHour: string | null;
  readonly nodeId: string | null;
}

/** A position in the order (price, id). */
export interface OfferPosition {
  readonly pricePerHour: string;
  readonly id: string;
}

const OFFER_SELECT = `
  SELECT o."id", o."publicId", o."nodeId", n."publicId" AS "nodePublicId", o."gpuModel", o."gpuCount", o."cpuMillicores",
         o."ramMib", o."diskGib", n."specs"->'cpu'->>'model' AS "cpuModel", o."pricePerHour", o."rates",
         n."locationData" AS "location", o."available"
    FROM "Offer" o JOIN "HostNode" n ON n."id" = o."nodeId"`;

/**
 * Offers that `viewerId` may rent now, cheapest first, by (price, id) after `after`. Only the filters that are set become
 * conditions, so that the planner sees which of the two partial price indexes fits.
 */
export async function searchOffers(
  db: Queryable,
  filter: OfferFilter,
  viewerId: string | null,
  after: OfferPosition | null,
  limit: number,
): Promise<Offer[]> {
  const values: unknown[] = [limit];
  const conditions = ['o."available"'];
  const add = (value: unknown, condition: (parameter: string) => string) => {
    if (value === null) return;
    values.push(value);
    conditions.push(condition(`$${values.length}`));
  };
  add(filter.gpuModel, (p) => `o."gpuModel" = ${p}`);
  add(filter.minGpuCount, (p) => `o."gpuCount" >= ${p}`);
  add(filter.maxGpuCount, (p) => `o."gpuCount" <= ${p}`);
  add(filter.minCpuMillicores, (p) => `o."cpuMillicores" >= ${p}`);
  add(filter.minRamMib, (p) => `o."ramMib" >= ${p}`);
  add(filter.minDiskGib, (p) => `o."diskGib" >= ${p}`);
  add(filter.maxPricePerHour, (p) => `o."pricePerHour" <= ${p}::numeric`);
  add(filter.nodeId, (p) => `o."nodeId" = ${p}::uuid`);
  if (after) {
    values.push(after.pricePerHour, after.id);
    conditions.push(`(o."pricePerHour", o."id") > ($${values.length - 1}::numeric, $${values.length}::uuid)`);
  }
  values.push(viewerId);
  conditions.push(`(NOT n."rentableByOwnerOnly" OR n."ownerId" = $${values.length}::uuid)`);
  return db.query<Offer>(
    `${OFFER_SELECT} WHERE ${conditions.join(' AND ')} ORDER BY o."pricePerHour", o."id" LIMIT $1`,
    values,
  );
}

/** One offer, available or not; null when there is none that `viewerId` may see. */
export async function findOffer(db: Queryable, offerId: string, viewerId: string | null): Promise<Offer | null> {
  const [offer] = await db.query<Offer>(
    `${OFFER_SELECT} WHERE o."id" = $1 AND NOT o."retired" AND (NOT n."rentableByOwnerOnly" OR n."ownerId" = $2::uuid)`,
    [offerId, viewerId],
  );
  return offer ?? null;
}
