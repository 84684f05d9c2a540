import type { InstanceReport } from '@dcompute/shared-types';
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

/**
 * What a report means for its rental; null when it moves nothing. An agent's `running` is its own word: for us the
 * instance is still being probed until the platform itself got through.
 */
export function eventOfReport(report: Pick<InstanceReport, 'phase' | 'reason'>): RentalStateEvent | null {
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
      return { type: 'instance_stopped', reason: report.reason ?? null };
    case 'deleted':
      return { type: 'instance_deleted' };
    case 'failed':
      return { type: 'instance_failed', reason: report.reason ?? 'start_failed' };
  }
}
