import { afterAll, beforeAll, expect, it } from 'vitest';
import { type BackendApp, startBackend } from './backend-app.js';

let backend: BackendApp;
beforeAll(async () => {
  backend = await startBackend();
});
afterAll(() => backend.close());

it('starts, is ready, and knows who is signed in', async () => {
  expect((await backend.request('GET', '/health/live')).body).toEqual({ status: 'ok' });
  expect((await backend.request('GET', '/health/ready')).body).toEqual({ status: 'ok' });
  const { client, user } = await backend.signUp('RENT');
  expect(await client.get('/api/v1/me')).toMatchObject({ account: { id: user.id, role: 'RENT', balance: '0.000000' } });
  expect((await backend.operator()).user.isOperator).toBe(true);
});

it('starts again on the same database', async () => {
  const { user, password } = await backend.signUp();
  await backend.restart();
  const { status } = await backend.request('POST', '/api/v1/auth/sign-in', { body: { email: user.email, password } });
  expect(status).toBe(200);
});
