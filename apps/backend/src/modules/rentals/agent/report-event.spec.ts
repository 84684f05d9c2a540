import { InstancePhase } from '@dcompute/shared-types';
import { describe, expect, it } from 'vitest';
import { readyMoment } from './ready-moment.js';
import { eventOfReport, isCurrentReport } from './report-event.js';

const rental = { placementId: 'p', incarnation: 1, gen: 7n, desiredGen: 5n };
const report = { placement_id: 'p', incarnation: 1, gen: 5 };

describe('isCurrentReport', () => {
  it('takes reports since the last change of what is wanted, whatever lesser changes came after', () => {
    expect([4, 5, 6, 7, 8].map((gen) => isCurrentReport({ ...report, gen }, rental))).toEqual([
      false,
      true,
      true,
      true,
      false,
    ]);
  });

  it('ignores another placement or incarnation', () => {
    expect(isCurrentReport({ ...report, placement_id: 'q' }, rental)).toBe(false);
    expect(isCurrentReport({ ...report, incarnation: 2 }, rental)).toBe(false);
  });
});

describe('eventOfReport', () => {
  it('knows every phase of an instance', () => {
    const types = InstancePhase.options.map((phase) => eventOfReport({ phase })?.type ?? null);
    expect(types).toEqual([
      ...Array.from({ length: 6 }, () => 'instance_phase'),
      null,
      'instance_stopped',
      'instance_deleted',
      'instance_failed',
    ]);
  });

  it("does not take the agent's word for running", () => {
    expect(eventOfReport({ phase: 'running' })).toEqual({ type: 'instance_phase', phase: 'probing' });
  });
});

describe('the reason of a report', () => {
  it('is taken where it is the agent that decides by it', () => {
    const reason = 'offline_grace_expired' as const;
    expect(eventOfReport({ phase: 'stopped', reason })).toEqual({ type: 'instance_stopped', reason });
    expect(eventOfReport({ phase: 'failed', reason: 'pull_failed' })).toMatchObject({ reason: 'pull_failed' });
  });

  it("is never a decision of the renter's or of the platform, which a host could only pretend", () => {
    for (const reason of ['renter_stopped', 'balance_exhausted', 'operator_stopped', 'host_lost'] as const) {
      expect(eventOfReport({ phase: 'stopped', reason })).toEqual({ type: 'instance_stopped', reason: null });
      expect(eventOfReport({ phase: 'failed', reason })).toEqual({ type: 'instance_failed', reason: 'start_failed' });
    }
  });
});

describe('readyMoment', () => {
  const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second));
  const progress = { phaseStartedAt: at(30), phasesMs: { scheduled: 1000, pulling: 9000 } };

  it('is the time of the probe', () => {
    expect(readyMoment(at(31), progress, at(40))).toEqual(at(31));
    expect(readyMoment(at(20), progress, at(40))).toEqual(at(20));
  });

  it('does not count a probe from before this start, nor a time that is still to come', () => {
    expect(readyMoment(at(19), progress, at(40))).toBeNull();
    expect(readyMoment(at(50), progress, at(40))).toEqual(at(40));
  });
});
