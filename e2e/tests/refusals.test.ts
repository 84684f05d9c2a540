import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../../tools/launch/wait.mjs';
import { type ApiClient, newRenter } from '../harness/accounts.js';
import { docker, importImage } from '../harness/docker.js';
import { type TestHost, startHost } from '../harness/host.js';
import { expectNothingLeft } from '../harness/leftovers.js';
import { StallingRegistry } from '../harness/registry.js';
import { reaches, remove, rent, ssh } from '../harness/rentals.js';

let host: TestHost;
let renter: ApiClient;
let registry: StallingRegistry;
const SHELL_LESS = 'dcompute-e2e/no-shell:1';
beforeAll(async () => {
  host = await startHost();
  renter = await newRenter();
  // Busybox under one name is one program: no shell, no /etc/passwd.
  importImage(SHELL_LESS, { 'bin/echo': '/bin/busybox' });
  registry = await StallingRegistry.start(SHELL_LESS);
  registry.open();
});
afterAll(async () => {
  await registry?.stop();
  await host?.tearDown();
  await docker('rmi', '--force', SHELL_LESS);
});

describe('what cannot be rented ends with a reason and leaves nothing behind', () => {
  it('an image that its registry does not have: image_not_found', async () => {
    const { id } = await rent(renter, host.offerId, { image: registry.image.replace('stalling:1', 'nothing:here') });
    const failed = await waitFor(
      'the end',
      async () => {
        const rental = await renter.get(`/api/v1/rentals/${id}`);
        return rental.status === 'FAILED' && rental;
      },
      { timeoutMs: 60_000 },
    );
    expect(failed).toMatchObject({ endReason: 'image_not_found', chargedTotal: '0.000000' });
    expect(failed.endMessage).toContain('The image does not exist');
    await expectNothingLeft(id);
  });

  it('an image without a shell runs: its own programs by exec, and a login that says why it ends', async () => {
    const { id } = await rent(renter, host.offerId, { image: SHELL_LESS });
    const running = await reaches(renter, id, 'RUNNING');
    expect(await ssh(running, '/bin/echo without a shell')).toBe('without a shell\n');
    // Without a command it is a login.
    await expect(ssh(running, '')).rejects.toThrow(/no shell/);
    await remove(renter, id);
    await expectNothingLeft(id);
  });
});
