import { DesiredState, RentalEndReason, RentalPhase, RentalStatus } from '@dcompute/shared-types';
import { describe, expect, it } from 'vitest';
import { type RentalState, type RentalStateEvent, type RentalStep, nextRentalStep } from './rental-state.js';

const booleans = [true, false];
const states: RentalState[] = RentalStatus.options.flatMap((status) =>
  (status === 'PROVISIONING' ? RentalPhase.options : [null]).flatMap((phase) =>
    DesiredState.options.flatMap((desired) =>
      booleans.flatMap((keepsDisk) => booleans.map((holdsNode) => ({ status, phase, desired, keepsDisk, holdsNode }))),
    ),
  ),
);
const events: RentalStateEvent[] = [
  { type: 'placed' },
  ...RentalPhase.options.map((phase) => ({ type: 'instance_phase' as const, phase })),
  { type: 'proven_ready' },
  ...RentalEndReason.options.flatMap((reason) => [
    { type: 'instance_failed' as const, reason },
    { type: 'instance_stopped' as const, reason },
    { type: 'stop_decided' as const, reason },
    { type: 'delete_decided' as const, reason },
  ]),
  { type: 'instance_stopped', reason: null },
  { type: 'instance_deleted' },
  { type: 'phase_timeout' },
  { type: 'start_requested' },
  { type: 'host_lost' },
];
const cases = states.flatMap((state) => events.map((event) => ({ state, event, step: nextRentalStep(state, event) })));

const at = (status: RentalStatus, more: Partial<RentalState> = {}): RentalState => ({
  status,
  phase: status === 'PROVISIONING' ? 'starting' : null,
  desired: 'running',
  keepsDisk: true,
  holdsNode: true,
  ...more,
});
const effectsOf = (step: RentalStep) => (step.kind === 'transition' ? step.effects : []);

/** Which statuses each status may move to: everything else is a defect of the table. */
const ALLOWED: Record<RentalStatus, RentalStatus[]> = {
  PENDING: ['PROVISIONING', 'STOPPING', 'FAILED'],
  PROVISIONING: ['PROVISIONING', 'RUNNING', 'STOPPING', 'STOPPED', 'FAILED'],
  RUNNING: ['STOPPING', 'STOPPED', 'TERMINATED'],
  STOPPING: ['STOPPING', 'STOPPED', 'TERMINATED'],
  STOPPED: ['PROVISIONING', 'STOPPING', 'TERMINATED'],
  TERMINATED: ['TERMINATED'],
  FAILED: ['FAILED'],
};

describe('nextRentalStep, over every state and event', () => {
  it('moves along allowed ways only, and an ended rental stays ended', () => {
    for (const { state, step } of cases) {
      if (step.kind === 'transition') expect(ALLOWED[state.status]).toContain(step.status);
    }
  });

  it('has a phase exactly while PROVISIONING', () => {
    for (const { step } of cases) {
      if (step.kind === 'transition') expect(step.phase !== null).toBe(step.status === 'PROVISIONING');
    }
  });

  it('always lets the renter delete, in any state, twice', () => {
    for (const state of states) {
      const first = nextRentalStep(state, { type: 'delete_decided', reason: 'renter_deleted' });
      expect(first.kind).not.toBe('refused');
      if (first.kind !== 'transition') continue;
      expect(first.desired).toBe('deleted');
      const after = { ...state, status: first.status, phase: first.phase, desired: first.desired };
      expect(nextRentalStep(after, { type: 'delete_decided', reason: 'renter_deleted' }).kind).toBe('unchanged');
    }
  });

  it('opens a period on RUNNING only, and closes it whenever RUNNING ends (I7)', () => {
    for (const { state, step } of cases) {
      const leaves = state.status === 'RUNNING' && step.kind === 'transition';
      expect(effectsOf(step).includes('close_period')).toBe(leaves);
      expect(effectsOf(step).includes('open_period')).toBe(step.kind === 'transition' && step.status === 'RUNNING');
    }
  });

  it('frees capacity only when the agent says that the instance is stopped or gone (I9)', () => {
    for (const { event, step } of cases) {
      const frees = effectsOf(step).some((effect) => effect === 'release_compute' || effect === 'release_all');
      if (frees) expect(['instance_stopped', 'instance_deleted']).toContain(event.type);
    }
  });

  it('never wants a deleted placement to run again', () => {
    const reachable = cases.filter(({ state }) => state.desired === 'deleted' && possible(state));
    for (const { step } of reachable) if (step.kind === 'transition') expect(step.desired).toBe('deleted');
  });

  it('gives every end a reason', () => {
    for (const { state, step } of cases) {
      if (step.kind !== 'transition' || state.status === step.status) continue;
      const ends = step.status === 'STOPPING' || step.status === 'FAILED' || step.status === 'TERMINATED';
      const alreadyEnding = state.status === 'STOPPING';
      if (ends && !alreadyEnding) expect(RentalEndReason.options).toContain(step.endReason);
    }
  });

  it('revokes the ports of whatever ends for good', () => {
    for (const { state, step } of cases) {
      if (step.kind !== 'transition' || state.desired === 'deleted' || step.desired !== 'deleted') continue;
      if (state.status === 'TERMINATED' || state.status === 'FAILED') continue;
      expect(step.effects).toContain('revoke_leases');
    }
  });
});

/** Deleted placements belong to rentals that are ending or ended. */
function possible(state: RentalState): boolean {
  return state.status === 'STOPPING' || state.status === 'TERMINATED' || state.status === 'FAILED';
}

describe('nextRentalStep', () => {
  it('goes through the phases of a start, forwards only', () => {
    const pulling = at('PROVISIONING', { phase: 'pulling' });
    expect(nextRentalStep(pulling, { type: 'instance_phase', phase: 'creating' })).toMatchObject({ phase: 'creating' });
    expect(nextRentalStep(pulling, { type: 'instance_phase', phase: 'scheduled' }).kind).toBe('unchanged');
    expect(nextRentalStep(pulling, { type: 'instance_phase', phase: 'pulling' }).kind).toBe('unchanged');
  });

  it('fails a first start that fails, but keeps the disk of a rental that has run', () => {
    const event = { type: 'instance_failed', reason: 'image_not_found' } as const;
    expect(nextRentalStep(at('PROVISIONING', { keepsDisk: false }), event)).toMatchObject({
      status: 'FAILED',
      desired: 'deleted',
      endReason: 'image_not_found',
    });
    expect(nextRentalStep(at('PROVISIONING'), event)).toMatchObject({ status: 'STOPPING', desired: 'stopped' });
  });

  it('names the phase that took too long', () => {
    const endReason = (phase: RentalPhase) => nextRentalStep(at('PROVISIONING', { phase }), { type: 'phase_timeout' });
    expect(endReason('pulling')).toMatchObject({ endReason: 'pull_timeout' });
    expect(endReason('creating')).toMatchObject({ endReason: 'phase_timeout' });
    expect(endReason('probing')).toMatchObject({ endReason: 'probe_timeout' });
  });

  it('keeps what a shut down node had, and resumes it', () => {
    const step = nextRentalStep(at('RUNNING'), { type: 'instance_stopped', reason: 'node_shutdown' });
    expect(step).toMatchObject({ status: 'STOPPED', desired: 'running', effects: ['close_period'] });
    const resumed = nextRentalStep(at('STOPPED'), { type: 'instance_phase', phase: 'starting' });
    expect(resumed).toMatchObject({ status: 'PROVISIONING', phase: 'starting', endReason: 'clear' });
  });

  it('starts only what is stopped', () => {
    const start = { type: 'start_requested' } as const;
    expect(nextRentalStep(at('STOPPED', { desired: 'stopped' }), start)).toMatchObject({ status: 'PROVISIONING' });
    expect(nextRentalStep(at('STOPPING', { desired: 'stopped' }), start).kind).toBe('refused');
    expect(nextRentalStep(at('TERMINATED', { desired: 'deleted' }), start).kind).toBe('refused');
    expect(nextRentalStep(at('RUNNING'), start).kind).toBe('unchanged');
  });

  it('does not take the report of a start that has not begun for an exit', () => {
    const stopped = { type: 'instance_stopped', reason: null } as const;
    expect(nextRentalStep(at('PROVISIONING', { phase: 'scheduled' }), stopped).kind).toBe('unchanged');
    expect(nextRentalStep(at('PROVISIONING', { phase: 'starting' }), stopped)).toMatchObject({
      status: 'STOPPING',
      endReason: 'instance_exited',
    });
  });

  it('keeps the allocations of a lost node until it answers again', () => {
    const lost = nextRentalStep(at('RUNNING'), { type: 'host_lost' });
    expect(lost).toMatchObject({ status: 'TERMINATED', desired: 'deleted', endReason: 'host_lost' });
    expect(effectsOf(lost)).not.toContain('release_all');
    const back = nextRentalStep(at('TERMINATED', { desired: 'deleted' }), { type: 'instance_deleted' });
    expect(effectsOf(back)).toEqual(['release_all']);
  });
});
