import { parseAmountMicros as micros } from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../../tools/launch/wait.mjs';
import { type ApiClient, newRenter, operator } from '../harness/accounts.js';
import { containersOf, inspect } from '../harness/docker.js';
import { type TestHost, startHost } from '../harness/host.js';
import { expectNothingLeft } from '../harness/leftovers.js';
import { reaches, remove, rent, ssh } from '../harness/rentals.js';

let host: TestHost;
let renter: ApiClient;
beforeAll(async () => {
  host = await startHost();
  renter = await newRenter();
});
afterAll(() => host?.tearDown());

describe('a rental', () => {
  it('keeps file, address, port and host key over stop and start, and leaves nothing behind when it is deleted', async () => {
    const { id } = await rent(renter, host.offerId);
    const running = await reaches(renter, id, 'RUNNING');
    expect(await ssh(running, 'echo precious > /root/work.txt; id -un')).toBe('root\n');

    await renter.post(`/api/v1/rentals/${id}/stop`);
    const stopped = await reaches(renter, id, 'STOPPED');
    expect(stopped).toMatchObject({ endReason: 'renter_stopped', connectionInfo: running.connectionInfo });
    await expect(ssh(running, 'true')).rejects.toThrow();

    await renter.post(`/api/v1/rentals/${id}/start`);
    const again = await reaches(renter, id, 'RUNNING');
    expect(again.connectionInfo).toEqual(running.connectionInfo);
    // The known_hosts file holds the first host key: another one would be refused.
    expect(await ssh(again, 'cat /root/work.txt')).toBe('precious\n');

    expect((await remove(renter, id)).status).toBe('TERMINATED');
    await expectNothingLeft(id);
  });

  it('costs floor(price x proven time), all of it to host and platform', async () => {
    const { id } = await rent(renter, host.offerId);
    await reaches(renter, id, 'RUNNING');
    await waitFor('a charge', async () => (await renter.get(`/api/v1/rentals/${id}`)).billableMs > 4000, {
      timeoutMs: 60_000,
    });
    await remove(renter, id);
    const settled = await waitFor(
      'the last charge',
      async () => {
        const rental = await renter.get(`/api/v1/rentals/${id}`);
        return rental.settledAt && rental;
      },
      { timeoutMs: 30_000 },
    );
    const price = micros(settled.costPerHour);
    expect(micros(settled.chargedTotal)).toBe((price * BigInt(settled.billableMs)) / 3_600_000n);
    const provenMs = Date.parse(settled.stopDecidedAt) - Date.parse(settled.readyAt);
    expect(settled.billableMs).toBeLessThanOrEqual(provenMs);
    const everyone = await operator();
    const { items } = await everyone.get(`/api/v1/operator/transactions?referenceId=${id}&limit=200`);
    const credited = (account: string): bigint =>
      sum(items.filter((row: Row) => row.account === account && row.type === 'CREDIT'));
    expect(credited('host_pending') + credited('platform_fee')).toBe(micros(settled.chargedTotal));
    expect((await everyone.get('/api/v1/operator/ledger/check')).ok).toBe(true);
  });

  it('leads a further TCP port that the renter named to a program in the container', async () => {
    const { id } = await rent(renter, host.offerId, { ports: [8080] });
    const running = await reaches(renter, id, 'RUNNING');
    const port = running.connectionInfo?.ports['8080'];
    await ssh(
      running,
      'mkdir /srv/www; echo hello > /srv/www/index.html; cd /srv/www; setsid python3 -m http.server 8080 >/dev/null 2>&1 < /dev/null &',
    );
    const page = await waitFor('the page', async () => (await fetch(`http://127.0.0.1:${port}/`)).text(), {
      timeoutMs: 30_000,
    });
    expect(page).toBe('hello\n');
    await remove(renter, id);
  });

  it('is a container with every line of the hardened profile, and no mount of the host', async () => {
    const { id } = await rent(renter, host.offerId);
    await reaches(renter, id, 'RUNNING');
    const [name = ''] = await containersOf(id);
    const { HostConfig: profile, Mounts, Config } = await inspect(name);
    expect(name).toBe(`dc-${id}-1`);
    expect(Config.Labels).toMatchObject({ 'dc.node': host.nodeId, 'dc.rental': id, 'dc.incarnation': '1' });
    expect(Mounts).toEqual([]);
    expect(profile).toMatchObject({
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges:true'],
      Privileged: false,
      IpcMode: 'private',
      PidMode: '',
      UTSMode: '',
      CgroupnsMode: 'private',
      RestartPolicy: { Name: 'no' },
      NetworkMode: `dc-${id}`,
      AutoRemove: false,
      OomScoreAdj: 500,
    });
    expect((profile['CapAdd'] as string[]).toSorted()).toEqual([
      'CHOWN',
      'DAC_OVERRIDE',
      'FOWNER',
      'FSETID',
      'KILL',
      'SETGID',
      'SETUID',
    ]);
    expect(profile['Binds']).toEqual([]);
    expect(profile['Memory']).toBeGreaterThan(0);
    expect(profile['MemorySwap']).toBe(profile['Memory']);
    for (const limit of ['NanoCpus', 'PidsLimit', 'ShmSize']) expect(profile[limit]).toBeGreaterThan(0);
    const bindings = Object.values(profile['PortBindings'] as Record<string, { HostIp: string }[]>).flat();
    expect(bindings.map(({ HostIp }) => HostIp)).toEqual(['127.0.0.1']);
    await remove(renter, id);
  });

  it('of run type args ends with its program', async () => {
    const { id } = await rent(renter, host.offerId, { runType: 'args', command: ['/bin/sh', '-c', 'sleep 3; exit 7'] });
    const ended = await reaches(renter, id, 'STOPPED', 'FAILED');
    expect(ended.endReason).toBe('instance_exited');
    await remove(renter, id);
  });

  it('goes on, with its SSH session, when the agent is killed and comes back', async () => {
    const { id } = await rent(renter, host.offerId);
    const running = await reaches(renter, id, 'RUNNING');
    const [name = ''] = await containersOf(id);
    const before = (await inspect(name)).State;
    const session = ssh(running, 'echo begin; sleep 6; echo end');
    await host.killAgent();
    await host.startAgent();
    expect(await session).toBe('begin\nend\n');
    expect((await inspect(name)).State).toMatchObject({ Running: true, Pid: before.Pid, StartedAt: before.StartedAt });
    expect(await ssh(running, 'echo new login')).toBe('new login\n');
    await remove(renter, id);
  });
});

type Row = { readonly account: string; readonly type: string; readonly amount: string };

function sum(rows: readonly Row[]): bigint {
  return rows.reduce((total, row) => total + micros(row.amount), 0n);
}
