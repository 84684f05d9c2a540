import { randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { waitFor } from '../../tools/launch/wait.mjs';
import { DEFAULT_IMAGE } from '../../tools/launch/image.mjs';
import { type ApiClient, newRenter } from '../harness/accounts.js';
import { containersOf, docker, importImage, inspect } from '../harness/docker.js';
import { type TestHost, startHost } from '../harness/host.js';
import { expectNothingLeft } from '../harness/leftovers.js';
import { StallingRegistry } from '../harness/registry.js';
import { reaches, remove, rent, ssh } from '../harness/rentals.js';

const FRESH = 'dcompute-e2e/fresh:1';
let host: TestHost;
let renter: ApiClient;
beforeAll(async () => {
  host = await startHost();
  renter = await newRenter();
});
afterEach(() => {
  host.proxy.toAgent = () => 'pass';
  host.proxy.toBackend = () => 'pass';
});
afterAll(() => host?.tearDown());

/** The messages of one event that the agent was given about a rental. */
const given = (event: string, rentalId: string) =>
  host.proxy.delivered.filter((message) => message.event === event && message.data['rental_id'] === rentalId);
const verdictsOn = (rentalId: string) =>
  host.proxy.sent
    .flatMap((message) =>
      message.event === 'heartbeat'
        ? ((message.data['acks'] ?? []) as unknown[])
        : message.event === 'ack'
          ? [message.data]
          : [],
    )
    .map((ack) => ack as { rental_id: string; gen: number; result: string })
    .filter((ack) => ack.rental_id === rentalId);

describe('on the real engine', () => {
  it('a start that is delivered twice makes one container', async () => {
    host.proxy.toAgent = ({ event }) => (event === 'start_instance' ? 'double' : 'pass');
    const { id } = await rent(renter, host.offerId);
    const running = await reaches(renter, id, 'RUNNING');
    expect(given('start_instance', id)).toHaveLength(2);
    expect(await containersOf(id)).toEqual([`dc-${id}-1`]);
    await waitFor('both verdicts', () => verdictsOn(id).length >= 2, { timeoutMs: 15_000 });
    expect(verdictsOn(id).map(({ result }) => result)).toEqual(['accepted', 'duplicate']);
    expect(await ssh(running, 'echo one')).toBe('one\n');
    await remove(renter, id);
  });

  it('a lost start costs a heartbeat: the desired list brings it', async () => {
    host.proxy.toAgent = ({ event }) => (event === 'start_instance' ? 'drop' : 'pass');
    const { id } = await rent(renter, host.offerId);
    await reaches(renter, id, 'RUNNING');
    expect(given('start_instance', id)).toEqual([]);
    await remove(renter, id);
  });

  it('a lost stop costs a heartbeat: the instance stops all the same', async () => {
    const { id } = await rent(renter, host.offerId);
    await reaches(renter, id, 'RUNNING');
    host.proxy.toAgent = ({ event }) => (event === 'stop_instance' ? 'drop' : 'pass');
    await renter.post(`/api/v1/rentals/${id}/stop`);
    await reaches(renter, id, 'STOPPED');
    expect((await inspect(`dc-${id}-1`)).State.Running).toBe(false);
    await remove(renter, id);
  });

  it('a whole life goes through with every hint lost', async () => {
    host.proxy.toAgent = ({ event }) =>
      ['start_instance', 'stop_instance', 'update_ssh_keys'].includes(event) ? 'drop' : 'pass';
    const { id } = await rent(renter, host.offerId);
    const running = await reaches(renter, id, 'RUNNING');
    expect(await ssh(running, 'echo here')).toBe('here\n');
    await renter.post(`/api/v1/rentals/${id}/stop`);
    await reaches(renter, id, 'STOPPED');
    await renter.post(`/api/v1/rentals/${id}/start`);
    await reaches(renter, id, 'RUNNING');
    await remove(renter, id);
    await expectNothingLeft(id);
  });

  it('a stop that overtakes its start wins: nothing runs afterwards', async () => {
    const { id } = await rent(renter, host.offerId);
    await renter.post(`/api/v1/rentals/${id}/stop`);
    await reaches(renter, id, 'STOPPED');
    await waitFor('two beats', beatsFrom(host.proxy.sent.length, 2), { timeoutMs: 15_000 });
    const states = await Promise.all((await containersOf(id)).map(async (name) => (await inspect(name)).State.Running));
    expect(states).not.toContain(true);
    await remove(renter, id);
  });

  it('an old start after a stop is refused for ever', async () => {
    const { id } = await rent(renter, host.offerId);
    await reaches(renter, id, 'RUNNING');
    await renter.post(`/api/v1/rentals/${id}/stop`);
    await reaches(renter, id, 'STOPPED');
    const [start] = given('start_instance', id);
    const seen = verdictsOn(id).length;
    host.proxy.tellAgent({ event: 'start_instance', data: start?.data });
    const verdict = await waitFor('the verdict', () => verdictsOn(id).at(seen), { timeoutMs: 15_000 });
    expect(verdict?.result).toBe('stale');
    expect((await inspect(`dc-${id}-1`)).State.Running).toBe(false);
    await remove(renter, id);
  });

  it('a delete during the pull ends the pull, and nothing is left behind', async () => {
    const registry = await StallingRegistry.start(DEFAULT_IMAGE);
    try {
      const { id } = await rent(renter, host.offerId, { image: registry.image });
      await waitFor('the pull', async () => (await renter.get(`/api/v1/rentals/${id}`)).phase === 'pulling', {
        timeoutMs: 30_000,
      });
      expect((await remove(renter, id)).endReason).toBe('renter_deleted');
      await expectNothingLeft(id);
      registry.open();
      await waitFor('two beats', beatsFrom(host.proxy.sent.length, 2), { timeoutMs: 15_000 });
      expect(await containersOf(id)).toEqual([]);
    } finally {
      await registry.stop();
    }
  });

  it('a real pull tells its layers, and ends in a running instance', async () => {
    // An image that this engine has no layer of.
    const folder = mkdtempSync(join(inject('market').dataDir, 'layer-'));
    writeFileSync(join(folder, 'fresh'), randomBytes(32 * 1024 * 1024));
    importImage(FRESH, { 'bin/echo': '/bin/busybox', 'srv/fresh': join(folder, 'fresh') });
    const registry = await StallingRegistry.start(FRESH);
    await docker('rmi', FRESH);
    registry.open();
    try {
      const { id } = await rent(renter, host.offerId, { image: registry.image });
      await reaches(renter, id, 'RUNNING');
      const layers = host.proxy.sent
        .filter(({ event, data }) => event === 'instance_status' && data['rental_id'] === id)
        .map(({ data }) => (data['pull_progress'] as { layers_total: number } | undefined)?.layers_total);
      expect(layers).toContain(1);
      await remove(renter, id);
    } finally {
      await registry.stop();
      await docker('rmi', '--force', registry.image);
    }
  });

  it('an agent whose connection was cut comes back and misses nothing', async () => {
    const { id } = await rent(renter, host.offerId);
    await reaches(renter, id, 'RUNNING');
    host.proxy.cut();
    await renter.post(`/api/v1/rentals/${id}/stop`);
    await reaches(renter, id, 'STOPPED');
    await remove(renter, id);
  });
});

/** True once the agent sent `count` heartbeats after message number `from`. */
function beatsFrom(from: number, count: number): () => boolean {
  return () => host.proxy.sent.slice(from).filter(({ event }) => event === 'heartbeat').length >= count;
}
