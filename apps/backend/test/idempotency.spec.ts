import { randomUUID } from 'node:crypto';
import type { CreatedApiKey } from '@dcompute/shared-types';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { IdempotencyService } from '../src/modules/idempotency/index.js';
import { type BackendApp, type SignedIn, startBackend } from './backend-app.js';

let backend: BackendApp;
let person: SignedIn;
beforeAll(async () => {
  backend = await startBackend({ APP_ROLE: 'http' });
  person = await backend.signUp();
});
afterAll(() => backend?.close());

const create = (key: string) =>
  person.client.post<CreatedApiKey>('/api/v1/api-keys', { name: 'key', scopes: ['read'] }, key);

async function expire(key: string): Promise<void> {
  await backend.db.query(`UPDATE "IdempotencyKey" SET "expiresAt" = now() - interval '1 second' WHERE "key" = $1`, [
    key,
  ]);
}

/** Keys that are stored, and answers with a secret in them. */
async function stored(): Promise<{ keys: number; answers: number }> {
  const { rows } = await backend.db.query<{ keys: number; answers: number }>(
    `SELECT (SELECT count(*)::int FROM "IdempotencyKey" WHERE "userId" = $1) AS keys,
            (SELECT count(*)::int FROM "Secret" WHERE "kind" = 'idempotent_response') AS answers`,
    [person.user.id],
  );
  return rows[0] ?? { keys: -1, answers: -1 };
}

it('keys and the secrets in their answers are gone once their time is over, and others stay', async () => {
  const [old, recent] = [randomUUID(), randomUUID()];
  await create(old);
  const kept = await create(recent);
  expect(await stored()).toEqual({ keys: 2, answers: 2 });
  await expire(old);
  await backend.app.get(IdempotencyService).forgetExpired();
  expect(await stored()).toEqual({ keys: 1, answers: 1 });
  expect(await create(recent)).toEqual(kept);
});

it('a key that is used again after its time is a new one, and its old answer is gone', async () => {
  const key = randomUUID();
  const first = await create(key);
  const before = await stored();
  await expire(key);
  const second = await create(key);
  expect(second.id).not.toBe(first.id);
  expect(await stored()).toEqual(before);
  expect(await create(key)).toEqual(second);
});
