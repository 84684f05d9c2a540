import type { Tx } from '../../../infra/index.js';
import type { NodeFence } from '../../nodes/index.js';
import type { RentalPorts } from '../rental-ports.js';
import { assertSession } from './session-fence.js';
import { releaseAll, releaseCompute, takeCompute } from './allocations.js';
import { type RentalProgress, type TransitionMoment, progressAfter } from './rental-changes.js';
import type { RentalRecord } from './rental-record.js';
import type { RentalEffect, RentalStateEvent, RentalTransition } from './rental-state.js';

type TransitionPorts = Pick<RentalPorts, 'nodes' | 'tunnels' | 'offers' | 'bus' | 'phaseLimitsMs'>;

/** Who and when; `actorId` is the person behind a request, null where the platform itself decides. */
export interface TransitionContext extends TransitionMoment {
  readonly actorId: string | null;
  /** The session that the news came from: it must still be its node's when the transaction commits. */
  readonly fence?: NodeFence;
}

/** Thrown by a start whose CPU, RAM or GPUs are in use: the transaction has to be rolled back. */
export class CapacityTakenError extends Error {}

/**
 * Writes a transition: the rental's columns, its RentalEvent and outbox row, what the effects ask for and, when another
 * state is wanted, the placement's next gen under the node's next rev. All in the caller's transaction, which holds the
 * rental's lock. The node and the readers of the outbox are told after the commit.
 */
export async function applyTransition(
  tx: Tx,
  ports: TransitionPorts,
  rental: RentalRecord,
  event: RentalStateEvent,
  step: RentalTransition,
  context: TransitionContext,
): Promise<void> {
  const progress = progressAfter(rental, step, context, ports.phaseLimitsMs);
  await writeProgress(tx, rental, event, progress, context);
  for (const effect of step.effects) await runEffect(tx, ports, rental, effect, context);
  if (context.fence) await assertSession(tx, context.fence);
  if (step.desired !== rental.desired) await wantOtherState(tx, ports, rental, step, progress);
  // Last, since proxy servers are locked after nodes (see `lockRental`).
  if (step.effects.includes('revoke_leases')) await ports.tunnels.revokeLeases(tx, rental.id);
  tx.afterCommit(() => ports.bus.publish('outbox.appended', { accountId: rental.renterId }));
}

async function runEffect(
  tx: Tx,
  ports: TransitionPorts,
  rental: RentalRecord,
  effect: RentalEffect,
  context: TransitionContext,
): Promise<void> {
  switch (effect) {
    case 'allocate_compute':
      await allocateCompute(tx, rental);
      return ports.offers.refreshAvailability(tx, [rental.nodeId]);
    case 'release_compute':
      await releaseCompute(tx, rental.id, context.now);
      return ports.offers.refreshAvailability(tx, [rental.nodeId]);
    case 'release_all':
      await releaseAll(tx, rental.id, context.now);
      await tx.query(`UPDATE "Placement" SET "current" = false WHERE "id" = $1`, [rental.placementId]);
      return ports.offers.refreshAvailability(tx, [rental.nodeId]);
    case 'open_period':
      return openPeriod(tx, rental.id, context.readyAt ?? context.now);
    case 'close_period':
      return closePeriod(tx, rental.id, context.now);
    case 'revoke_leases':
      return;
  }
}

async function allocateCompute(tx: Tx, rental: RentalRecord): Promise<void> {
  const { nodeId, placementId, cpuMillicores, ramMib, gpuUuids } = rental;
  const taken = await takeCompute(tx, { rentalId: rental.id, placementId, nodeId, cpuMillicores, ramMib, gpuUuids });
  if (!taken) throw new CapacityTakenError();
}

async function openPeriod(tx: Tx, rentalId: string, readyAt: Date): Promise<void> {
  await tx.query(
    `INSERT INTO "RunningPeriod" ("id", "rentalId", "n", "readyAt")
     SELECT gen_random_uuid(), $1, coalesce(max("n"), 0) + 1, $2 FROM "RunningPeriod" WHERE "rentalId" = $1`,
    [rentalId, readyAt],
  );
}

async function closePeriod(tx: Tx, rentalId: string, now: Date): Promise<void> {
  await tx.query(
    `UPDATE "RunningPeriod" SET "stopDecidedAt" = greatest($2, "readyAt")
      WHERE "rentalId" = $1 AND "stopDecidedAt" IS NULL`,
    [rentalId, now],
  );
}

async function writeProgress(
  tx: Tx,
  rental: RentalRecord,
  event: RentalStateEvent,
  to: RentalProgress,
  context: TransitionContext,
): Promise<void> {
  await tx.query(
    `WITH changed AS (
       UPDATE "Rental"
          SET "status" = $2::"RentalStatus", "phase" = $3::"RentalPhase", "phaseStartedAt" = $4, "phaseDeadlineAt" = $5,
              "phasesMs" = $6, "endReason" = $7, "endMessage" = $8, "readyAt" = $9, "stopDecidedAt" = $10,
              "settledAt" = $11, "endTime" = $12, "updatedAt" = $13, "pullProgress" = NULL
        WHERE "id" = $1
     ), noted AS (
       INSERT INTO "RentalEvent" ("id", "rentalId", "type", "fromStatus", "toStatus", "reason", "message", "data", "actorId", "createdAt")
       VALUES (gen_random_uuid(), $1, $14, $15::"RentalStatus", $2::"RentalStatus", $7, $8, $16, $17, $13)
     )
     INSERT INTO "OutboxEvent" ("accountId", "type", "subjectId", "data", "createdAt")
     VALUES ($18, 'rental.' || $14::text, $1::text, $16, $13)`,
    [
      rental.id,
      to.status,
      to.phase,
      to.phaseStartedAt,
      to.phaseDeadlineAt,
      to.phasesMs,
      to.endReason,
      to.endMessage,
      to.readyAt,
      to.stopDecidedAt,
      to.settledAt,
      to.endTime,
      context.now,
      event.type,
      rental.status,
      { status: to.status, phase: to.phase, reason: to.endReason },
      context.actorId,
      rental.renterId,
    ],
  );
}

async function wantOtherState(
  tx: Tx,
  ports: TransitionPorts,
  rental: RentalRecord,
  step: RentalTransition,
  to: RentalProgress,
): Promise<void> {
  const rev = await ports.nodes.bumpRev(tx, rental.nodeId);
  await tx.query(
    `UPDATE "Placement"
        SET "gen" = "gen" + 1, "desiredGen" = "gen" + 1, "desired" = $2::"DesiredState", "desiredReason" = $3, "nodeRev" = $4
      WHERE "id" = $1`,
    [rental.placementId, step.desired, to.endReason, rev],
  );
  tx.afterCommit(() => ports.bus.publish('node.changed', { nodeId: rental.nodeId }));
}
