import type { InstanceReport, RentalEndReason } from '@dcompute/shared-types';
import type { RentalRecord } from '../life/rental-record.js';
import type { RentalStateEvent } from '../life/rental-state.js';

/** Whether a report speaks of what is wanted now. Older gens are late news; a gen that we never gave is no news of ours. */
export function isCurrentReport(
  report: Pick<InstanceReport, 'placement_id' | 'incarnation' | 'gen'>,
  rental: Pick<RentalRecord, 'placementId' | 'incarnation' | 'gen' | 'desiredGen'>,
): boolean {
  const gen = BigInt(report.gen);
  return (
    report.placement_id === rental.placementId &&
    report.incarnation === rental.incarnation &&
    gen >= rental.desiredGen &&
    gen <= rental.gen
  );
}

/** What an agent itself decides by. Decisions of renters and of the platform are known here, and nobody else's to claim. */
const AGENT_REASONS: ReadonlySet<RentalEndReason> = new Set([
  'ttl_expired',
  'node_shutdown',
  'node_drained',
  'offline_grace_expired',
  'image_not_found',
  'pull_failed',
  'pull_timeout',
  'create_failed',
  'start_failed',
  'phase_timeout',
  'instance_exited',
]);

/**
 * What a report means for its rental; null when it moves nothing. An agent's `running` is its own word: for us the
 * instance is still being probed until the platform itself got through.
 */
export function eventOfReport(report: Pick<InstanceReport, 'phase' | 'reason'>): RentalStateEvent | null {
  const reason = report.reason && AGENT_REASONS.has(report.reason) ? report.reason : null;
  switch (report.phase) {
    case 'scheduled':
    case 'pulling':
    case 'creating':
    case 'starting':
    case 'probing':
      return { type: 'instance_phase', phase: report.phase };
    case 'running':
      return { type: 'instance_phase', phase: 'probing' };
    case 'stopping':
      return null;
    case 'stopped':
      return { type: 'instance_stopped', reason };
    case 'deleted':
      return { type: 'instance_deleted' };
    case 'failed':
      return { type: 'instance_failed', reason: reason ?? 'start_failed' };
  }
}
