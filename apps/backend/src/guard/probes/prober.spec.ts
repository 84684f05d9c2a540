import { randomUUID } from 'node:crypto';
import type { GuardProbe } from '@dcompute/shared-types';
import { afterEach, expect, it } from 'vitest';
import { freePort } from '../../../test/free-port.js';
import { until } from '../../../test/until.js';
import { Prober } from './prober.js';

let prober: Prober | undefined;
afterEach(() => prober?.stop());

it('a failed probe is told only while the proxy server itself is up: else nobody but the platform has failed', async () => {
  const told: GuardProbe[] = [];
  let [isUp, asked] = [false, 0];
  prober = new Prober({
    host: '127.0.0.1',
    intervalMs: 20,
    isServerUp: async () => {
      asked += 1;
      return isUp;
    },
    report: (probe) => void told.push(probe),
  });
  const lease = {
    leaseId: randomUUID(),
    rentalId: randomUUID(),
    nodeId: randomUUID(),
    proxyName: 'p',
    hostLabel: null,
    protocol: 'tcp' as const,
    port: await freePort(),
    containerPort: 22,
    state: 'live' as const,
    sshHostKeyFingerprint: 'SHA256:x',
  };
  prober.watch(lease, true);
  await until('some probes of a server that is down', () => asked >= 3);
  expect(told).toEqual([]);
  isUp = true;
  const probe = await until('a report', () => told[0]);
  expect(probe).toMatchObject({ leaseId: lease.leaseId, ok: false, failure: 'refused' });
});
