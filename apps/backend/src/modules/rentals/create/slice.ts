import type { Rates } from '@dcompute/shared-types';
import { AppError, type Tx } from '../../../infra/index.js';

/** What a renter asks of a node through an offer: locked, checked and not yet taken. */
export interface OfferedSlice {
  readonly offerId: string;
  readonly nodeId: string;
  readonly hostId: string;
  readonly gpuModel: string | null;
  readonly gpuCount: number;
  readonly cpuMillicores: number;
  readonly ramMib: number;
  readonly diskGib: number;
  readonly rates: Rates;
  /** The renter's balance when the lock was taken, a decimal string. */
  readonly balance: string;
}

interface LockedOffer extends OfferedSlice {
  readonly rentable: boolean;
  readonly fits: boolean;
}

/**
 * Locks the capacity row of the offer's node, which puts all rents of one node in a line, and checks that the slice is
 * still free. The lock is a statement of its own: what is read after it is what the last holder committed, prices and the
 * node's state included. The offer's own `available` is a projection for search and decides nothing here. Throws `resource.not_found`
 * for an unknown offer and `offer.unavailable` when the slice is gone.
 */
export async function lockOffer(tx: Tx, offerId: string, renterId: string): Promise<OfferedSlice> {
  await tx.query(
    `SELECT FROM "NodeCapacity" c JOIN "Offer" o ON o."nodeId" = c."nodeId" WHERE o."id" = $1 FOR UPDATE OF c`,
    [offerId],
  );
  const [offer] = await tx.query<LockedOffer>(
    `SELECT o."id" AS "offerId", o."nodeId", n."ownerId" AS "hostId", o."gpuModel", o."gpuCount", o."cpuMillicores",
            o."ramMib", o."diskGib", o."rates", u."balance",
            (NOT o."retired" AND n."status" IN ('online', 'busy') AND n."frozenAt" IS NULL AND NOT n."draining"
              AND n."cloneSuspectedAt" IS NULL AND n."evictedAt" IS NULL
              AND (NOT n."rentableByOwnerOnly" OR n."ownerId" = $2)) AS "rentable",
            (c."freeCpuMillicores" >= o."cpuMillicores" AND c."freeRamMib" >= o."ramMib"
              AND c."freeDiskGib" >= o."diskGib") AS "fits"
       FROM "Offer" o
       JOIN "HostNode" n ON n."id" = o."nodeId"
       JOIN "NodeCapacity" c ON c."nodeId" = o."nodeId"
       JOIN "User" u ON u."id" = $2
      WHERE o."id" = $1`,
    [offerId, renterId],
  );
  if (!offer) throw new AppError('resource.not_found', { detail: 'There is no such offer.' });
  if (!offer.rentable || !offer.fits) throw offerUnavailable();
  return offer;
}

/** GPUs of the node that are free, healthy and of the offered model. Throws `offer.unavailable` when too few are left. */
export async function pickGpus(tx: Tx, slice: OfferedSlice): Promise<{ uuid: string; index: number }[]> {
  if (slice.gpuCount === 0) return [];
  const gpus = await tx.query<{ uuid: string; index: number }>(
    `SELECT g."uuid", g."index" FROM "NodeGpu" g
      WHERE g."nodeId" = $1 AND g."model" = $2 AND g."healthy"
        AND NOT EXISTS (SELECT FROM "GpuAllocation" a
                         WHERE a."nodeId" = g."nodeId" AND a."gpuUuid" = g."uuid" AND a."releasedAt" IS NULL)
      ORDER BY g."index" LIMIT $3`,
    [slice.nodeId, slice.gpuModel, slice.gpuCount],
  );
  if (gpus.length < slice.gpuCount) throw offerUnavailable();
  return gpus;
}

function offerUnavailable(): AppError {
  return new AppError('offer.unavailable', {
    detail: 'Someone else has this offer now, or its node is away. Choose another offer.',
  });
}
