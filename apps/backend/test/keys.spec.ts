import { randomUUID } from 'node:crypto';
import type { ApiKeyPage, CreatedApiKey, Me, Scope, SshKey, SshKeyPage } from '@dcompute/shared-types';
import ssh2 from 'ssh2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiClient, type BackendApp, type SignedIn, startBackend } from './backend-app.js';

let backend: BackendApp;
let owner: SignedIn;
beforeAll(async () => {
  backend = await startBackend();
  owner = await backend.signUp();
});
afterAll(() => backend?.close());

async function makeKey(maker: ApiClient, scopes: Scope[], more: { expiresAt?: string } = {}): Promise<CreatedApiKey> {
  return await maker.post<CreatedApiKey>('/api/v1/api-keys', { name: 'script', scopes, ...more });
}

const withKey = (key: CreatedApiKey): ApiClient => new ApiClient(backend.url, key.secret);

describe('an API key', () => {
  it('acts for its account with its scopes, and the database never holds its secret', async () => {
    const key = await makeKey(owner.client, ['read', 'rentals:write']);
    expect(key.secret.startsWith(key.prefix)).toBe(true);
    expect(await withKey(key).get<Me>('/api/v1/me')).toMatchObject({
      account: { id: owner.user.id },
      via: 'api_key',
      scopes: ['read', 'rentals:write'],
    });
    const { rows } = await backend.db.query('SELECT row_to_json(k)::text AS "row" FROM "ApiKey" k WHERE "id" = $1', [
      key.id,
    ]);
    expect(rows[0].row).not.toContain(key.secret.slice(key.prefix.length));
  });

  it('is refused from the moment it is revoked, and stays in the list', async () => {
    const key = await makeKey(owner.client, ['read']);
    await owner.client.delete(`/api/v1/api-keys/${key.id}`);
    await owner.client.delete(`/api/v1/api-keys/${key.id}`);
    await expect(withKey(key).get('/api/v1/me')).rejects.toMatchObject({
      status: 401,
      problem: { code: 'auth.key_revoked' },
    });
    const { items } = await owner.client.get<ApiKeyPage>('/api/v1/api-keys');
    expect(items.find(({ id }) => id === key.id)?.revokedAt).toEqual(expect.any(String));
    expect(JSON.stringify(items)).not.toContain('secret');
  });

  it('is refused once it has expired', async () => {
    const key = await makeKey(owner.client, ['read'], { expiresAt: new Date(Date.now() + 60_000).toISOString() });
    expect(await withKey(key).get('/api/v1/me')).toMatchObject({ via: 'api_key' });
    await backend.db.query(`UPDATE "ApiKey" SET "expiresAt" = now() - interval '1 second' WHERE "id" = $1`, [key.id]);
    await expect(withKey(key).get('/api/v1/me')).rejects.toMatchObject({ problem: { code: 'auth.key_revoked' } });
    await expect(makeKey(owner.client, ['read'], { expiresAt: '2020-01-01T00:00:00Z' })).rejects.toMatchObject({
      problem: { code: 'request.invalid', errors: [{ field: 'expiresAt' }] },
    });
  });

  it('never makes a key above itself: not in scopes, not in time', async () => {
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const maker = withKey(await makeKey(owner.client, ['read', 'keys:write'], { expiresAt }));
    await expect(makeKey(maker, ['rentals:write'])).rejects.toMatchObject({ problem: { code: 'auth.scope_missing' } });
    expect(await makeKey(maker, ['read'])).toMatchObject({ expiresAt });
    const later = new Date(Date.now() + 7_200_000).toISOString();
    await expect(makeKey(maker, ['read'], { expiresAt: later })).rejects.toMatchObject({
      problem: { code: 'request.invalid' },
    });
  });

  it('without keys:write makes no key', async () => {
    const reader = withKey(await makeKey(owner.client, ['read']));
    await expect(makeKey(reader, ['read'])).rejects.toMatchObject({
      status: 403,
      problem: { code: 'auth.scope_missing' },
    });
  });

  it('has the scope operator only from an operator, and loses its force with the operator', async () => {
    await expect(makeKey(owner.client, ['operator'])).rejects.toMatchObject({ problem: { code: 'auth.forbidden' } });
    const operator = await backend.operator();
    const key = await makeKey(operator.client, ['operator']);
    expect(await withKey(key).get('/api/v1/operator/ledger/check')).toMatchObject({ ok: true });
    await backend.db.query('UPDATE "User" SET "isOperator" = false WHERE "id" = $1', [operator.user.id]);
    try {
      await expect(withKey(key).get('/api/v1/operator/ledger/check')).rejects.toMatchObject({
        problem: { code: 'auth.forbidden' },
      });
    } finally {
      await backend.db.query('UPDATE "User" SET "isOperator" = true WHERE "id" = $1', [operator.user.id]);
    }
  });

  it('shows the same secret again when the same request comes again, and makes one key', async () => {
    const { client } = await backend.signUp();
    const idempotencyKey = randomUUID();
    const request = { name: 'once', scopes: ['read'] };
    const first = await client.post<CreatedApiKey>('/api/v1/api-keys', request, idempotencyKey);
    expect(await client.post('/api/v1/api-keys', request, idempotencyKey)).toEqual(first);
    expect((await client.get<ApiKeyPage>('/api/v1/api-keys')).items).toHaveLength(1);
    const { rows } = await backend.db.query('SELECT "response" FROM "IdempotencyKey" WHERE "key" = $1', [
      idempotencyKey,
    ]);
    expect(rows).toEqual([{ response: null }]);
  });

  it('of a team ends with the membership of its maker', async () => {
    const team = randomUUID();
    await backend.db.query(
      `INSERT INTO "User" ("id", "clerkId", "email", "kind") VALUES ($1::uuid, $1::text, $1::text || '@team.invalid', 'TEAM')`,
      [team],
    );
    await backend.db.query(`INSERT INTO "Membership" ("teamId", "personId", "role") VALUES ($1, $2, 'member')`, [
      team,
      owner.user.id,
    ]);
    const { body: key } = await owner.client.request<CreatedApiKey>('POST', '/api/v1/api-keys', {
      body: { name: 'ci', scopes: ['read'] },
      headers: { 'x-account-id': team, 'idempotency-key': randomUUID() },
    });
    expect(await withKey(key).get<Me>('/api/v1/me')).toMatchObject({ account: { id: team }, personId: owner.user.id });
    await backend.db.query('DELETE FROM "Membership" WHERE "teamId" = $1', [team]);
    await expect(withKey(key).get('/api/v1/me')).rejects.toMatchObject({ status: 404 });
  });
});

describe('an SSH key', () => {
  const newLine = () => ssh2.utils.generateKeyPairSync('ed25519', { comment: 'me' }).public;

  it('is registered once, listed and removed', async () => {
    const { client } = await backend.signUp();
    const publicKey = newLine();
    const key = await client.post<SshKey>('/api/v1/ssh-keys', { name: 'laptop', publicKey });
    expect(key).toMatchObject({ name: 'laptop', publicKey, fingerprint: expect.stringMatching(/^SHA256:/) });
    await expect(client.post('/api/v1/ssh-keys', { name: 'again', publicKey })).rejects.toMatchObject({
      problem: { code: 'ssh_key.exists' },
    });
    expect((await client.get<SshKeyPage>('/api/v1/ssh-keys')).items).toEqual([key]);
    await client.delete(`/api/v1/ssh-keys/${key.id}`);
    expect((await client.get<SshKeyPage>('/api/v1/ssh-keys')).items).toEqual([]);
    await expect(client.delete(`/api/v1/ssh-keys/${key.id}`)).rejects.toMatchObject({ status: 404 });
  });

  it.each([
    'not a key',
    'ssh-dss AAAAB3NzaC1kc3M=',
    'ssh-ed25519 AAAA',
    `command="id" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5`,
  ])('that is %j is refused with the field', async (publicKey) => {
    await expect(owner.client.post('/api/v1/ssh-keys', { name: 'x', publicKey })).rejects.toMatchObject({
      problem: { code: 'request.invalid', errors: [{ field: 'publicKey' }] },
    });
  });

  it('appears once when its owner pages through many', async () => {
    const { client } = await backend.signUp();
    for (let n = 0; n < 5; n += 1) await client.post('/api/v1/ssh-keys', { name: `key ${n}`, publicKey: newLine() });
    const names: string[] = [];
    let cursor: string | null = null;
    do {
      const page: SshKeyPage = await client.get(`/api/v1/ssh-keys?limit=2${cursor ? `&cursor=${cursor}` : ''}`);
      names.push(...page.items.map(({ name }) => name));
      cursor = page.nextCursor;
    } while (cursor);
    expect(names).toEqual(['key 4', 'key 3', 'key 2', 'key 1', 'key 0']);
  });
});
