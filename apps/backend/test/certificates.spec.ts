import { X509Certificate, createPrivateKey } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeCertificates } from '../../../tools/frp/certificates.mjs';

const DAY_MS = 86_400_000;
const NAME = 'frps.test.internal';
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dcompute-test-certificates-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const make = async ({ serverName = NAME, inDays = 0 } = {}) => {
  const files = await makeCertificates({ folder, serverName, now: new Date(Date.now() + inDays * DAY_MS) });
  const [ca, server] = await Promise.all([readFile(files.caFile), readFile(files.certFile)]);
  return { ...files, ca: new X509Certificate(ca), server: new X509Certificate(server) };
};

it('the server certificate is signed by the authority, for its name only, with a key of its own', async () => {
  const made = await make();
  expect(made.ca.ca).toBe(true);
  expect(made.server.ca).toBe(false);
  expect(made.server.checkIssued(made.ca) && made.server.verify(made.ca.publicKey)).toBe(true);
  expect([made.server.checkHost(NAME), made.server.checkHost('other.internal')]).toEqual([NAME, undefined]);
  expect(made.server.checkPrivateKey(createPrivateKey(await readFile(made.keyFile)))).toBe(true);
});

it('keys are readable by their owner only', async () => {
  const { keyFile } = await make();
  const modes = await Promise.all(
    [keyFile, join(folder, 'ca.key')].map(async (file) => (await stat(file)).mode & 0o777),
  );
  expect(modes).toEqual([0o600, 0o600]);
});

it('they are kept while they are good', async () => {
  const first = await make();
  const second = await make({ inDays: 300 });
  expect(second.server.fingerprint256).toBe(first.server.fingerprint256);
});

it.each([
  ['close to its end', { inDays: 340 }],
  ['when the server has another name', { serverName: 'other.internal' }],
])('the server certificate is made again %s, under the same authority', async (_when, change) => {
  const first = await make();
  const second = await make(change);
  expect(second.server.fingerprint256).not.toBe(first.server.fingerprint256);
  expect(second.ca.fingerprint256).toBe(first.ca.fingerprint256);
  expect(second.server.verify(second.ca.publicKey)).toBe(true);
});

it('a new authority comes with a new server certificate', async () => {
  const first = await make();
  const second = await make({ inDays: 3_300 });
  expect(second.ca.fingerprint256).not.toBe(first.ca.fingerprint256);
  expect(second.server.verify(second.ca.publicKey)).toBe(true);
});

it.each(['tls.key', 'tls.crt', 'ca.key', 'ca.crt'])('a broken %s heals', async (name) => {
  await make();
  await writeFile(join(folder, name), 'broken');
  const { server, ca, keyFile } = await make();
  expect(server.verify(ca.publicKey)).toBe(true);
  expect(server.checkPrivateKey(createPrivateKey(await readFile(keyFile)))).toBe(true);
});
