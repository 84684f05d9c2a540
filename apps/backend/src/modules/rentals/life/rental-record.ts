import type { DesiredState, InstancePhase, RunType } from '@dcompute/shared-types';
import type { Tx } from '../../../infra/index.js';
import type { RentalProgress } from './rental-changes.js';

/** A rental with its latest placement, as a change of it needs them. Numerics are decimal strings, gens bigint. */
export interface RentalRecord extends RentalProgress {
  readonly id: string;
  readonly renterId: string;
  readonly nodeId: string;
  readonly runType: RunType;
  readonly ttlExpiresAt: Date | null;
  readonly cpuMillicores: number;
  readonly ramMib: number;
  readonly gpuUuids: string[];
  readonly moneyCap: string | null;
  readonly chargedTotal: string;
  readonly chargeSeq: number;
  readonly costPerHour: string;
  readonly placementId: string;
  readonly incarnation: number;
  readonly gen: bigint;
  /** The gen of the last change of `desired`: reports below it speak of what was wanted before. */
  readonly desiredGen: bigint;
  readonly desired: DesiredState;
  readonly observedPhase: InstancePhase | null;
  readonly keepsDisk: boolean;
  readonly holdsNode: boolean;
}

/**
 * Locks a rental and reads it. The lock is a statement of its own: what is read after it is what the last holder of the
 * lock committed; and it lets rows that name the rental (proof of time, events) be written meanwhile. Returns null when
 * there is no such rental or, with `skipLocked`, when something else holds it. Order of locks everywhere: rentals (by id),
 * node capacity, node, proxy server, ledger accounts.
 */
export async function lockRental(
  tx: Tx,
  rentalId: string,
  options: { readonly skipLocked?: boolean } = {},
): Promise<RentalRecord | null> {
  const locked = await tx.query(
    `SELECT "id" FROM "Rental" WHERE "id" = $1 FOR NO KEY UPDATE ${options.skipLocked ? 'SKIP LOCKED' : ''}`,
    [rentalId],
  );
  if (locked.length === 0) return null;
  const [row] = await tx.query<RentalRecord>(
    `SELECT r."id", r."renterId", r."nodeId", r."runType", r."ttlExpiresAt", r."cpuMillicores", r."ramMib", r."gpuUuids", r."moneyCap",
            r."chargedTotal", r."chargeSeq", r."costPerHour", r."status", r."phase", r."phaseStartedAt",
            r."phaseDeadlineAt", r."phasesMs", r."endReason", r."endMessage", r."readyAt", r."stopDecidedAt",
            r."settledAt", r."endTime", p."id" AS "placementId", p."incarnation", p."gen", p."desiredGen",
            p."desired", p."observedPhase",
            EXISTS (SELECT FROM "RunningPeriod" x WHERE x."rentalId" = r."id") AS "keepsDisk",
            EXISTS (SELECT FROM "CapacityAllocation" a
                     WHERE a."rentalId" = r."id" AND a."diskReleasedAt" IS NULL) AS "holdsNode"
       FROM "Rental" r
       JOIN LATERAL (SELECT * FROM "Placement" x WHERE x."rentalId" = r."id"
                      ORDER BY x."current" DESC, x."createdAt" DESC LIMIT 1) p ON true
      WHERE r."id" = $1`,
    [rentalId],
  );
  return row ?? null;
}
