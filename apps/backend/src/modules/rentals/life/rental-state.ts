import type { DesiredState, RentalEndReason, RentalPhase, RentalStatus } from '@dcompute/shared-types';

/** All that the next state of a rental depends on. */
export interface RentalState {
  readonly status: RentalStatus;
  readonly phase: RentalPhase | null;
  /** What its current placement should be. */
  readonly desired: DesiredState;
  /** True once the rental has been RUNNING or STOPPED: its disk is worth keeping when a start fails. */
  readonly keepsDisk: boolean;
  /** True while the rental has anything allocated on its node. */
  readonly holdsNode: boolean;
}

export type RentalStateEvent =
  /** A PENDING rental got its placement. */
  | { readonly type: 'placed' }
  | { readonly type: 'instance_phase'; readonly phase: RentalPhase }
  /** The platform itself got through to SSH. */
  | { readonly type: 'proven_ready' }
  /** The agent gave the instance up, or its program ended. */
  | { readonly type: 'instance_failed'; readonly reason: RentalEndReason }
  | { readonly type: 'instance_stopped'; readonly reason: RentalEndReason | null }
  | { readonly type: 'instance_deleted' }
  | { readonly type: 'phase_timeout' }
  | { readonly type: 'stop_decided'; readonly reason: RentalEndReason }
  | { readonly type: 'delete_decided'; readonly reason: RentalEndReason }
  | { readonly type: 'start_requested' }
  | { readonly type: 'host_lost' };

export type RentalEffect =
  /** Allocate CPU, RAM and GPUs again. */
  | 'allocate_compute'
  /** The instance is known not to run: free CPU, RAM and GPUs. */
  | 'release_compute'
  /** The container is known to be gone: free everything. */
  | 'release_all'
  /** No port of this rental leads anywhere from now on. */
  | 'revoke_leases'
  /** Open a running period: charging may begin. */
  | 'open_period'
  /** Close the running period: nothing after this moment is charged. */
  | 'close_period';

/** Where an event leads. A step to the same status, phase and desired state without effects changes nothing. */
export interface RentalTransition {
  readonly kind: 'transition';
  readonly status: RentalStatus;
  readonly phase: RentalPhase | null;
  readonly desired: DesiredState;
  /** `keep` leaves what is recorded, `clear` forgets it (a start). */
  readonly endReason: RentalEndReason | 'keep' | 'clear';
  readonly effects: readonly RentalEffect[];
}

export type RentalStep =
  | RentalTransition
  /** Correct and without effect: a repeated request, or news that no longer matters. */
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'refused'; readonly why: string };

const UNCHANGED: RentalStep = { kind: 'unchanged' };
const PHASES: readonly RentalPhase[] = ['scheduled', 'pulling', 'creating', 'starting', 'probing'];

/** The whole life of a rental: total over (state, event), pure. Every transition that it returns is recorded as a RentalEvent. */
export function nextRentalStep(state: RentalState, event: RentalStateEvent): RentalStep {
  switch (event.type) {
    case 'placed':
      return state.status === 'PENDING' ? moveTo('PROVISIONING', 'scheduled', 'running', 'clear') : UNCHANGED;
    case 'instance_phase':
      return onPhase(state, event.phase);
    case 'proven_ready':
      return state.status === 'PROVISIONING' ? moveTo('RUNNING', null, 'running', 'clear', ['open_period']) : UNCHANGED;
    case 'instance_failed':
      return onFailure(state, event.reason);
    case 'instance_stopped':
      return onStopped(state, event.reason);
    case 'instance_deleted':
      return onDeleted(state);
    case 'phase_timeout':
      return state.status === 'PROVISIONING' ? onFailure(state, timeoutReason(state.phase)) : UNCHANGED;
    case 'stop_decided':
      return onStop(state, event.reason);
    case 'delete_decided':
      return onDelete(state, event.reason);
    case 'start_requested':
      return onStart(state);
    case 'host_lost':
      return onHostLost(state);
  }
}

/** Phases only advance within one start, so that a flapping instance never extends its deadline. */
function onPhase(state: RentalState, phase: RentalPhase): RentalStep {
  if (state.desired !== 'running') return UNCHANGED;
  if (state.status === 'STOPPED') return moveTo('PROVISIONING', phase, 'running', 'clear');
  if (state.status !== 'PROVISIONING' && state.status !== 'PENDING') return UNCHANGED;
  const advanced = state.phase === null || PHASES.indexOf(phase) > PHASES.indexOf(state.phase);
  return advanced ? moveTo('PROVISIONING', phase, 'running', 'clear') : UNCHANGED;
}

function onFailure(state: RentalState, reason: RentalEndReason): RentalStep {
  switch (state.status) {
    case 'PENDING':
    case 'PROVISIONING':
      return state.keepsDisk
        ? moveTo('STOPPING', null, 'stopped', reason)
        : moveTo('FAILED', null, 'deleted', reason, ['revoke_leases']);
    case 'RUNNING':
      return moveTo('STOPPING', null, 'stopped', reason, ['close_period']);
    case 'STOPPED':
      return state.desired === 'running' ? moveTo('STOPPING', null, 'stopped', reason) : UNCHANGED;
    case 'STOPPING':
    case 'TERMINATED':
    case 'FAILED':
      // Only `stopped` or `deleted` prove that nothing runs any more.
      return UNCHANGED;
  }
}

function onStopped(state: RentalState, reason: RentalEndReason | null): RentalStep {
  const byHost = reason === 'node_shutdown';
  switch (state.status) {
    case 'STOPPING':
      return state.desired === 'stopped' ? moveTo('STOPPED', null, 'stopped', 'keep', ['release_compute']) : UNCHANGED;
    case 'RUNNING':
      return byHost
        ? moveTo('STOPPED', null, 'running', reason, ['close_period'])
        : onFailure(state, reason ?? 'instance_exited');
    case 'PROVISIONING':
      if (byHost) return moveTo('STOPPED', null, 'running', reason);
      // A start that the agent took note of and has not begun: still as it was stopped before.
      return state.phase === 'scheduled' ? UNCHANGED : onFailure(state, reason ?? 'instance_exited');
    case 'STOPPED':
      return byHost || state.desired !== 'running' ? UNCHANGED : onFailure(state, reason ?? 'instance_exited');
    case 'PENDING':
    case 'TERMINATED':
    case 'FAILED':
      return UNCHANGED;
  }
}

function onDeleted(state: RentalState): RentalStep {
  switch (state.status) {
    case 'STOPPING':
      if (state.desired === 'deleted') return moveTo('TERMINATED', null, 'deleted', 'keep', ['release_all']);
      // Stopped before its container was made: nothing is lost, and a start makes it.
      return state.keepsDisk
        ? moveTo('TERMINATED', null, 'deleted', 'keep', ['revoke_leases', 'release_all'])
        : moveTo('STOPPED', null, 'stopped', 'keep', ['release_compute']);
    case 'TERMINATED':
    case 'FAILED':
      return state.holdsNode ? moveTo(state.status, null, 'deleted', 'keep', ['release_all']) : UNCHANGED;
    case 'RUNNING':
      return moveTo('TERMINATED', null, 'deleted', 'instance_exited', ['close_period', 'revoke_leases', 'release_all']);
    case 'PENDING':
    case 'PROVISIONING':
      return moveTo('FAILED', null, 'deleted', 'create_failed', ['revoke_leases', 'release_all']);
    case 'STOPPED':
      return moveTo('TERMINATED', null, 'deleted', 'instance_exited', ['revoke_leases', 'release_all']);
  }
}

function onStop(state: RentalState, reason: RentalEndReason): RentalStep {
  switch (state.status) {
    case 'PENDING':
    case 'PROVISIONING':
      return moveTo('STOPPING', null, 'stopped', reason);
    case 'RUNNING':
      return moveTo('STOPPING', null, 'stopped', reason, ['close_period']);
    case 'STOPPED':
      // Stopped by its host and still wanted: the node may start it again at any moment, so it has to confirm.
      return state.desired === 'running' ? moveTo('STOPPING', null, 'stopped', reason) : UNCHANGED;
    case 'STOPPING':
      return UNCHANGED;
    case 'TERMINATED':
    case 'FAILED':
      return { kind: 'refused', why: 'the rental has ended' };
  }
}

function onDelete(state: RentalState, reason: RentalEndReason): RentalStep {
  switch (state.status) {
    case 'PENDING':
    case 'PROVISIONING':
    case 'STOPPED':
      return moveTo('STOPPING', null, 'deleted', reason, ['revoke_leases']);
    case 'RUNNING':
      return moveTo('STOPPING', null, 'deleted', reason, ['close_period', 'revoke_leases']);
    case 'STOPPING':
      return state.desired === 'deleted' ? UNCHANGED : moveTo('STOPPING', null, 'deleted', reason, ['revoke_leases']);
    case 'TERMINATED':
    case 'FAILED':
      return UNCHANGED;
  }
}

function onStart(state: RentalState): RentalStep {
  switch (state.status) {
    case 'STOPPED':
      return state.desired === 'running'
        ? UNCHANGED
        : moveTo('PROVISIONING', 'scheduled', 'running', 'clear', ['allocate_compute']);
    case 'PENDING':
    case 'PROVISIONING':
    case 'RUNNING':
      return UNCHANGED;
    case 'STOPPING':
      return { kind: 'refused', why: 'the rental is still stopping; start it once it is STOPPED' };
    case 'TERMINATED':
    case 'FAILED':
      return { kind: 'refused', why: 'the rental has ended; rent the offer again' };
  }
}

/** A lost node keeps its allocations until it is back and says that the instance is gone: they are never used twice. */
function onHostLost(state: RentalState): RentalStep {
  switch (state.status) {
    case 'RUNNING':
      return moveTo('TERMINATED', null, 'deleted', 'host_lost', ['close_period', 'revoke_leases']);
    case 'PENDING':
    case 'PROVISIONING':
      return moveTo('FAILED', null, 'deleted', 'host_lost', ['revoke_leases']);
    case 'STOPPING':
      return state.desired === 'deleted'
        ? moveTo('TERMINATED', null, 'deleted', 'keep')
        : moveTo('TERMINATED', null, 'deleted', 'host_lost', ['revoke_leases']);
    case 'STOPPED':
    case 'TERMINATED':
    case 'FAILED':
      return UNCHANGED;
  }
}

function timeoutReason(phase: RentalPhase | null): RentalEndReason {
  if (phase === 'pulling') return 'pull_timeout';
  return phase === 'probing' ? 'probe_timeout' : 'phase_timeout';
}

function moveTo(
  status: RentalStatus,
  phase: RentalPhase | null,
  desired: DesiredState,
  endReason: RentalTransition['endReason'],
  effects: readonly RentalEffect[] = [],
): RentalTransition {
  return { kind: 'transition', status, phase, desired, endReason, effects };
}
