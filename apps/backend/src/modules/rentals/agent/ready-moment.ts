import type { RentalProgress } from '../life/rental-changes.js';

/** When the present start of a PROVISIONING rental began: its phases follow each other without gaps. */
function provisioningSince(progress: Pick<RentalProgress, 'phaseStartedAt' | 'phasesMs'>): Date {
  const spentMs = Object.values(progress.phasesMs).reduce((sum, ms) => sum + ms, 0);
  return new Date(progress.phaseStartedAt.getTime() - spentMs);
}

/**
 * The proven-ready moment that a good probe stands for: the probe's own time, and never later than now, so that a guard's
 * fast clock bills nobody. Null for a probe from before the present start: it proves what ran then.
 */
export function readyMoment(
  probeAt: Date,
  progress: Pick<RentalProgress, 'phaseStartedAt' | 'phasesMs'>,
  now: Date,
): Date | null {
  if (probeAt < provisioningSince(progress)) return null;
  return probeAt > now ? now : probeAt;
}
