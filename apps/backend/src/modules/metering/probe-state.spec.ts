import { describe, expect, it } from 'vitest';
import { nextProbeState } from './probe-state.js';

const good = (atMs: number) => ({ atMs, ok: true, failure: null });
const bad = (atMs: number, failure = 'timeout') => ({ atMs, ok: false, failure });

describe("state of a rental's probes", () => {
  it('a failure lasts from its first failed probe', () => {
    const state = nextProbeState(null, [good(10), bad(40), bad(70, 'refused')]);
    expect(state).toEqual({ lastAtMs: 70, lastOkAtMs: 10, failingSinceMs: 40, failure: 'refused' });
    expect(nextProbeState(state, [bad(100)])).toMatchObject({ failingSinceMs: 40, failure: 'timeout', lastAtMs: 100 });
  });

  it('one good probe ends a failure', () => {
    const failing = nextProbeState(null, [bad(10), bad(40)]);
    expect(nextProbeState(failing, [good(70)])).toEqual({
      lastAtMs: 70,
      lastOkAtMs: 70,
      failingSinceMs: null,
      failure: null,
    });
  });

  it('a doubled report changes nothing', () => {
    const probes = [good(10), bad(40), bad(70)];
    const state = nextProbeState(null, probes);
    expect(nextProbeState(state, probes)).toEqual(state);
    expect(nextProbeState(state, probes.slice(0, 2))).toEqual(state);
  });

  it('spooled probes that come late neither end nor begin a failure of now', () => {
    const failing = nextProbeState(null, [good(10), bad(100)]);
    expect(nextProbeState(failing, [good(40)])).toMatchObject({ failingSinceMs: 100, lastOkAtMs: 40, lastAtMs: 100 });
    const well = nextProbeState(null, [good(100)]);
    expect(nextProbeState(well, [bad(40)])).toMatchObject({ failingSinceMs: null, failure: null, lastOkAtMs: 100 });
  });
});
