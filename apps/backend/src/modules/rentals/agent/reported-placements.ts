import type { DesiredState, InstancePhase, InstanceReport, RentalPhase, RentalStatus } from '@dcompute/shared-types';
import type { Queryable, Tx } from '../../../infra/index.js';
import type { NodeFence } from '../../nodes/index.js';
import { FencedError } from '../life/session-fence.js';
import { nextRentalStep } from '../life/rental-state.js';
import { eventOfReport, isCurrentReport } from './report-event.js';

/** A placement that an agent reports on, with what was known of it when the report came. */
export interface ReportedPlacement {
  readonly rentalId: string;
  readonly placementId: string;
  readonly incarnation: number;
  readonly gen: bigint;
  readonly desiredGen: bigint;
  readonly desired: DesiredState;
  readonly status: RentalStatus;
  readonly phase: RentalPhase | null;
  readonly keepsDisk: boolean;
  readonly holdsNode: boolean;
  readonly observedPhase: InstancePhase | null;
  readonly observedGen: bigint | null;
  readonly observedContainerId: string | null;
  readonly observedPhaseBootMs: bigint | null;
}

/** The node's current placements among the reported ones, by placement id. Ids are a stranger's text. */
export async function findReported(
  db: Queryable,
  nodeId: string,
  placementIds: readonly string[],
): Promise<Map<string, ReportedPlacement>> {
  const rows = await db.query<ReportedPlacement>(
    `SELECT p."rentalId", p."id" AS "placementId", p."incarnation", p."gen", p."desiredGen", p."desired",
            r."status", r."phase", p."observedPhase", p."observedGen", p."observedContainerId", p."observedPhaseBootMs",
            EXISTS (SELECT FROM "RunningPeriod" x WHERE x."rentalId" = r."id") AS "keepsDisk",
            EXISTS (SELECT FROM "CapacityAllocation" a
                     WHERE a."rentalId" = r."id" AND a."diskReleasedAt" IS NULL) AS "holdsNode"
       FROM "Placement" p JOIN "Rental" r ON r."id" = p."rentalId"
      WHERE p."nodeId" = $1 AND p."current" AND p."id"::text = ANY ($2::text[])`,
    [nodeId, placementIds],
  );
  return new Map(rows.map((row) => [row.placementId, row]));
}

/**
 * Whether a report says anything that is not recorded yet. A full report of a healthy node says nothing, and costs no
 * transaction.
 */
export function isNews(report: InstanceReport, known: ReportedPlacement): boolean {
  if (!isCurrentReport(report, known)) return false;
  const event = eventOfReport(report);
  if (event && nextRentalStep(known, event).kind === 'transition') return true;
  return (
    report.pull_progress !== undefined ||
    report.phase !== known.observedPhase ||
    BigInt(report.gen) !== known.observedGen ||
    BigInt(report.phase_boot_ms) !== known.observedPhaseBootMs ||
    (report.container_id ?? known.observedContainerId) !== known.observedContainerId
  );
}

/**
 * Records what an agent sees, and tells the renter how far a pull is. Only while the session is its node's: throws a
 * FencedError else. The same report twice changes nothing.
 */
export async function recordObservation(
  tx: Tx,
  fence: NodeFence,
  report: InstanceReport,
  placement: { readonly rentalId: string; readonly placementId: string },
  now: Date,
): Promise<void> {
  const [recorded] = await tx.query<{ id: string }>(
    `WITH seen AS (
       UPDATE "Placement"
          SET "observedPhase" = $4::"InstancePhase", "observedGen" = $5, "observedContainerId" = coalesce($6, "observedContainerId"),
              "observedPhaseBootMs" = $7, "observedAt" = $8
        WHERE "id" = $3 AND EXISTS (SELECT FROM "HostNode" WHERE "id" = $1 AND "sessionEpoch" = $2)
        RETURNING "id"
     ), changed AS (
       UPDATE "Rental" r
          SET "containerId" = coalesce($6, r."containerId"), "imageDigest" = coalesce($9, r."imageDigest"),
              "pullProgress" = CASE r."phase" WHEN 'pulling' THEN coalesce($10::jsonb, r."pullProgress") END, "updatedAt" = $8
        WHERE r."id" = $11 AND EXISTS (SELECT FROM seen)
     ), told AS (
       INSERT INTO "OutboxEvent" ("accountId", "type", "subjectId", "data", "createdAt")
       SELECT r."renterId", 'rental.pull_progress', r."id"::text, jsonb_build_object('pullProgress', $10::jsonb), $8
         FROM "Rental" r
        WHERE r."id" = $11 AND r."phase" = 'pulling' AND $10::jsonb IS NOT NULL
          AND r."pullProgress" IS DISTINCT FROM $10::jsonb AND EXISTS (SELECT FROM seen)
     )
     SELECT "id" FROM seen`,
    [
      fence.nodeId,
      fence.sessionEpoch,
      placement.placementId,
      report.phase,
      report.gen,
      report.container_id ?? null,
      report.phase_boot_ms,
      now,
      report.image_digest ?? null,
      report.pull_progress ? JSON.stringify(report.pull_progress) : null,
      placement.rentalId,
    ],
  );
  if (!recorded) throw new FencedError(fence);
}
