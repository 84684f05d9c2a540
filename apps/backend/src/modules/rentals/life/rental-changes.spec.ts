import { describe, expect, it } from 'vitest';
import { type RentalProgress, progressAfter } from './rental-changes.js';
import { nextRentalStep } from './rental-state.js';
import type { RentalStateEvent, RentalTransition } from './rental-state.js';

const limits = { scheduled: 1000, pulling: 60_000, creating: 1000, starting: 1000, probing: 2000, stopping: 3000 };
const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second));
const pulling: RentalProgress & { desired: 'running' } = {
  status: 'PROVISIONING',
  phase: 'pulling',
  phaseStartedAt: at(10),
  phaseDeadlineAt: at(70),
  phasesMs: { scheduled: 400 },
  endReason: null,
  endMessage: null,
  readyAt: null,
  stopDecidedAt: null,
  settledAt: null,
  endTime: null,
  desired: 'running',
};

function stepOf(event: RentalStateEvent, status = pulling): RentalTransition {
  const step = nextRentalStep({ ...status, keepsDisk: false, holdsNode: true }, event);
  if (step.kind !== 'transition') throw new Error(`no transition: ${step.kind}`);
  return step;
}

describe('progressAfter', () => {
  it('measures each phase on the clock that it is given and sets the deadline of the next', () => {
    const after = progressAfter(
      pulling,
      stepOf({ type: 'instance_phase', phase: 'creating' }),
      { now: at(15) },
      limits,
    );
    expect(after).toMatchObject({
      phase: 'creating',
      phaseStartedAt: at(15),
      phaseDeadlineAt: at(16),
      phasesMs: { scheduled: 400, pulling: 5000 },
    });
  });

  it('says why a rental failed, with what the agent adds', () => {
    const step = stepOf({ type: 'instance_failed', reason: 'image_not_found' });
    const after = progressAfter(pulling, step, { now: at(15), message: 'manifest unknown' }, limits);
    expect(after).toMatchObject({
      status: 'FAILED',
      endReason: 'image_not_found',
      endMessage: 'The image does not exist, or needs a registry login. manifest unknown',
      stopDecidedAt: at(15),
      endTime: at(15),
      phaseDeadlineAt: null,
    });
  });

  it('records the moment of the proof as readyAt, and none of the old start in a new one', () => {
    const ready = progressAfter(pulling, stepOf({ type: 'proven_ready' }), { now: at(20), readyAt: at(19) }, limits);
    expect(ready).toMatchObject({ status: 'RUNNING', readyAt: at(19), phaseDeadlineAt: null });
    const stopped = { ...pulling, ...ready, status: 'STOPPED', desired: 'stopped', stopDecidedAt: at(30) } as const;
    const step = nextRentalStep({ ...stopped, keepsDisk: true, holdsNode: true }, { type: 'start_requested' });
    const again = progressAfter(stopped, step as RentalTransition, { now: at(40) }, limits);
    expect(again).toMatchObject({ status: 'PROVISIONING', readyAt: null, stopDecidedAt: null, phasesMs: {} });
  });

  it('gives a stop a deadline, and a new one when it becomes a delete', () => {
    const stop = progressAfter(
      pulling,
      stepOf({ type: 'stop_decided', reason: 'renter_stopped' }),
      { now: at(20) },
      limits,
    );
    expect(stop).toMatchObject({ status: 'STOPPING', phaseDeadlineAt: at(23), stopDecidedAt: at(20) });
    const stopping = { ...pulling, ...stop, desired: 'stopped' as const };
    const step = nextRentalStep(
      { ...stopping, keepsDisk: true, holdsNode: true },
      { type: 'delete_decided', reason: 'renter_deleted' },
    );
    const deleting = progressAfter(stopping, step as RentalTransition, { now: at(22) }, limits);
    expect(deleting).toMatchObject({ endReason: 'renter_deleted', phaseDeadlineAt: at(25), stopDecidedAt: at(20) });
  });
});
