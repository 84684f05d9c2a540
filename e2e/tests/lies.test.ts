import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { waitFor } from '../../tools/launch/wait.mjs';
import { type ApiClient, newRenter } from '../harness/accounts.js';
import { docker } from '../harness/docker.js';
import { SHORT_LIMITS } from '../harness/limits.js';
import { type TestHost, startHost } from '../harness/host.js';
import { reaches, remove, rent } from '../harness/rentals.js';

let host: TestHost;
let renter: ApiClient;
beforeAll(async () => {
  const python = join(inject('market').programs.agent, '../python');
  host = await startHost({ entry: [python, join(import.meta.dirname, '../harness/lying_agent.py')] });
  renter = await newRenter();
});
afterAll(() => host?.tearDown());

const probeMaxAgeMs = Number(SHORT_LIMITS['PROBE_MAX_AGE_MS']);
const probeIntervalMs = Number(SHORT_LIMITS['PROBE_INTERVAL_MS']);

describe("a host whose agent says that a dead instance runs (90 s and 5 minutes stand for this run's short limits)", () => {
  it('is paid for no more than the age of the last good probe, and the instance is stopped', async () => {
    const { id } = await rent(renter, host.offerId);
    const running = await reaches(renter, id, 'RUNNING');
    await waitFor('proven time', async () => (await renter.get(`/api/v1/rentals/${id}`)).billableMs > 2000, {
      timeoutMs: 60_000,
    });
    await docker('kill', `dc-${id}-1`);
    const diedAt = Date.now();
    const before = host.proxy.sent.length;

    const ended = await reaches(renter, id, 'STOPPING', 'STOPPED');
    expect(ended.endReason).toBe('probe_timeout');
    // The lie: it beats on and signs more time of this rental.
    const after = host.proxy.sent.slice(before).filter(({ event }) => event === 'heartbeat');
    const signed = after.flatMap(({ data }) => (data['usage'] ?? []) as { rental_id: string }[]);
    expect(signed.filter(({ rental_id }) => rental_id === id).length).toBeGreaterThan(1);
    const settled = await waitFor(
      'the last charge',
      async () => {
        const rental = await renter.get(`/api/v1/rentals/${id}`);
        return rental.settledAt && rental;
      },
      { timeoutMs: 60_000 },
    );
    const aliveMs = diedAt - Date.parse(running.readyAt ?? '');
    expect(settled.billableMs).toBeLessThanOrEqual(aliveMs + probeMaxAgeMs + probeIntervalMs);
    await remove(renter, id);
  });
});
