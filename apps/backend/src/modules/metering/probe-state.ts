/** What is known of the probes of one rental. Epoch milliseconds. */
export interface ProbeStateMs {
  readonly lastAtMs: number;
  readonly lastOkAtMs: number | null;
  /** The first failed probe since the last good one; null while the latest probe is good. */
  readonly failingSinceMs: number | null;
  /** Why the latest probe failed; null while it did not. */
  readonly failure: string | null;
}

export interface Probe {
  readonly atMs: number;
  readonly ok: boolean;
  readonly failure: string | null;
}

/** The state after more probes, whatever their order; known ones change nothing. `probes` is not empty. */
export function nextProbeState(before: ProbeStateMs | null, probes: readonly Probe[]): ProbeStateMs {
  const ordered = probes.toSorted((a, b) => a.atMs - b.atMs);
  const newest = ordered.at(-1);
  if (!newest) throw new RangeError('no probes');
  const lastOkAtMs = latest([before?.lastOkAtMs ?? null, ordered.findLast((probe) => probe.ok)?.atMs ?? null]);
  const failing = (atMs: number | null | undefined): atMs is number =>
    typeof atMs === 'number' && atMs > (lastOkAtMs ?? -Infinity);
  const firstFailed = ordered.find((probe) => !probe.ok && failing(probe.atMs))?.atMs;
  const failures = [before?.failingSinceMs, firstFailed].filter(failing);
  const lateNews = before !== null && before.lastAtMs >= newest.atMs;
  const failure = lateNews ? before.failure : newest.failure;
  return {
    lastAtMs: Math.max(before?.lastAtMs ?? 0, newest.atMs),
    lastOkAtMs,
    failingSinceMs: failures.length > 0 ? Math.min(...failures) : null,
    failure: failures.length > 0 ? failure : null,
  };
}

function latest(moments: readonly (number | null)[]): number | null {
  const known = moments.filter((moment) => moment !== null);
  return known.length > 0 ? Math.max(...known) : null;
}
