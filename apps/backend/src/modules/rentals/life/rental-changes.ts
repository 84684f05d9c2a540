import {
  type DesiredState,
  type PhasesMs,
  type RentalEndReason,
  type RentalPhase,
  type RentalStatus,
  rentalEndReasonText,
} from '@dcompute/shared-types';
import type { RentalTransition } from './rental-state.js';

/** How long a rental may stay in each phase of a start, and in STOPPING, in milliseconds. */
export type PhaseLimitsMs = Readonly<Record<RentalPhase | 'stopping', number>>;

/** The columns of a rental that a transition may change. */
export interface RentalProgress {
  readonly status: RentalStatus;
  readonly phase: RentalPhase | null;
  readonly phaseStartedAt: Date;
  readonly phaseDeadlineAt: Date | null;
  readonly phasesMs: PhasesMs;
  readonly endReason: RentalEndReason | null;
  readonly endMessage: string | null;
  readonly readyAt: Date | null;
  readonly stopDecidedAt: Date | null;
  readonly settledAt: Date | null;
  readonly endTime: Date | null;
}

/** When a transition happens and what is known about it beyond its kind. */
export interface TransitionMoment {
  readonly now: Date;
  /** The proof of a RUNNING rental; only for `open_period`. */
  readonly readyAt?: Date;
  /** What the agent says beside its reason, for people. */
  readonly message?: string | null;
}

/** The columns of a rental after a transition. Pure; all times are the backend's clock. */
export function progressAfter(
  before: RentalProgress & { readonly desired: DesiredState },
  step: RentalTransition,
  moment: TransitionMoment,
  limits: PhaseLimitsMs,
): RentalProgress {
  const { now } = moment;
  const begins = step.status === 'PROVISIONING' && before.status !== 'PROVISIONING';
  const moved = step.status !== before.status || step.phase !== before.phase;
  const endReason = reasonAfter(before.endReason, step);
  return {
    status: step.status,
    phase: step.phase,
    phaseStartedAt: moved ? now : before.phaseStartedAt,
    phaseDeadlineAt: moved || step.desired !== before.desired ? deadlineOf(step, now, limits) : before.phaseDeadlineAt,
    phasesMs: begins ? {} : withPhaseEnded(before, moved, now),
    endReason,
    endMessage: endReason === before.endReason ? before.endMessage : messageOf(endReason, moment.message),
    readyAt: begins ? null : (moment.readyAt ?? before.readyAt),
    stopDecidedAt: begins ? null : (before.stopDecidedAt ?? (isDecidedToEnd(step) ? now : null)),
    settledAt: begins ? null : before.settledAt,
    endTime: isEnded(step.status) ? (before.endTime ?? now) : null,
  };
}

/** TERMINATED and FAILED: the contract is over. */
export function isEnded(status: RentalStatus): boolean {
  return status === 'TERMINATED' || status === 'FAILED';
}

function isDecidedToEnd(step: RentalTransition): boolean {
  return step.status === 'STOPPING' || step.status === 'STOPPED' || isEnded(step.status);
}

function reasonAfter(before: RentalEndReason | null, step: RentalTransition): RentalEndReason | null {
  if (step.endReason === 'keep') return before;
  return step.endReason === 'clear' ? null : step.endReason;
}

function messageOf(reason: RentalEndReason | null, message: string | null | undefined): string | null {
  if (reason === null) return null;
  return message ? `${rentalEndReasonText(reason)} ${message}` : rentalEndReasonText(reason);
}

function deadlineOf(step: RentalTransition, now: Date, limits: PhaseLimitsMs): Date | null {
  const limitMs = step.status === 'STOPPING' ? limits.stopping : step.phase && limits[step.phase];
  return limitMs ? new Date(now.getTime() + limitMs) : null;
}

function withPhaseEnded(before: RentalProgress, moved: boolean, now: Date): PhasesMs {
  if (!moved || before.phase === null) return before.phasesMs;
  const spentMs = Math.max(0, now.getTime() - before.phaseStartedAt.getTime());
  return { ...before.phasesMs, [before.phase]: (before.phasesMs[before.phase] ?? 0) + spentMs };
}
