import { randomUUID } from 'node:crypto';
import type { Balance, LedgerCheck, TransactionPage } from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BackendApp, type SignedIn, startBackend } from './backend-app.js';

let backend: BackendApp;
let operator: SignedIn;
beforeAll(async () => {
  backend = await startBackend();
  operator = await backend.operator();
});
afterAll(() => backend?.close());

const credits = '/api/v1/operator/credits';

describe('credit that an operator gives', () => {
  it('is in the balance, in the transactions of both sides, and in the audit log', async () => {
    const { client, user } = await backend.signUp();
    const granted = await operator.client.post<{ entryId: string }>(credits, {
      email: user.email,
      amount: '12.5',
      reason: 'welcome',
    });
    expect(await client.get<Balance>('/api/v1/balance')).toEqual({
      available: '12.500000',
      held: '0.000000',
      pendingEarnings: '0.000000',
      payableEarnings: '0.000000',
    });
    const { items } = await client.get<TransactionPage>('/api/v1/transactions');
    expect(items).toMatchObject([
      { account: 'renter_available', type: 'CREDIT', amount: '12.500000', kind: 'credit_grant', reason: 'welcome' },
    ]);
    const platform = await operator.client.get<TransactionPage>(
      '/api/v1/operator/transactions?account=platform_promotions',
    );
    expect(platform.items).toContainEqual(
      expect.objectContaining({ entryId: granted.entryId, type: 'DEBIT', amount: '12.500000' }),
    );
    const audit = await backend.db.query(
      `SELECT "actorId" FROM "AuditRow" WHERE "action" = 'credit.grant' AND "accountId" = $1`,
      [user.id],
    );
    expect(audit.rows).toEqual([{ actorId: operator.user.id }]);
  });

  it('is given once under one key, also when the same request comes many times at once', async () => {
    const { client, user } = await backend.signUp();
    const key = randomUUID();
    const give = () =>
      operator.client.request('POST', credits, {
        body: { userId: user.id, amount: '3', reason: 'once' },
        headers: { 'idempotency-key': key },
      });
    const statuses = (await Promise.all(Array.from({ length: 8 }, give))).map(({ status }) => status);
    expect(statuses).toContain(201);
    expect(statuses.every((status) => status === 201 || status === 409)).toBe(true);
    expect((await give()).status).toBe(201);
    expect((await client.get<Balance>('/api/v1/balance')).available).toBe('3.000000');
  });

  it.each([
    ['0', 'ledger.invalid_amount', 422],
    ['-1', 'ledger.invalid_amount', 422],
    ['1000000.000001', 'ledger.invalid_amount', 422],
    ['0.0000001', 'request.invalid', 400],
    ['1e3', 'request.invalid', 400],
  ])('of %s is refused with %s', async (amount, code, status) => {
    const answer = await operator.client.request('POST', credits, {
      body: { userId: operator.user.id, amount, reason: 'x' },
      headers: { 'idempotency-key': randomUUID() },
    });
    expect(answer).toMatchObject({ status, body: { code } });
  });

  it('needs an idempotency key, and refuses the same key for another request', async () => {
    const body = { userId: operator.user.id, amount: '1', reason: 'x' };
    expect(await operator.client.request('POST', credits, { body })).toMatchObject({
      status: 400,
      body: { code: 'idempotency.key_required' },
    });
    const headers = { 'idempotency-key': randomUUID() };
    expect((await operator.client.request('POST', credits, { body, headers })).status).toBe(201);
    expect(await operator.client.request('POST', credits, { body: { ...body, amount: '2' }, headers })).toMatchObject({
      status: 422,
      body: { code: 'idempotency.key_reused' },
    });
  });

  it('is not for an account that does not exist', async () => {
    await expect(
      operator.client.post(credits, { userId: randomUUID(), amount: '1', reason: 'x' }),
    ).rejects.toMatchObject({ status: 404 });
  });
});

it('pages through transactions newest first, each once', async () => {
  const { client, user } = await backend.signUp();
  for (const amount of ['1', '2', '3', '4', '5']) await backend.grant(user.id, amount);
  const amounts: string[] = [];
  let cursor: string | null = null;
  do {
    const page: TransactionPage = await client.get(`/api/v1/transactions?limit=2${cursor ? `&cursor=${cursor}` : ''}`);
    amounts.push(...page.items.map((item) => item.amount));
    cursor = page.nextCursor;
  } while (cursor);
  expect(amounts).toEqual(['5.000000', '4.000000', '3.000000', '2.000000', '1.000000']);
  await expect(client.get('/api/v1/transactions?cursor=bm90LWEtY3Vyc29y')).rejects.toMatchObject({
    problem: { code: 'request.invalid' },
  });
});

it('keeps every invariant', async () => {
  expect(await operator.client.get<LedgerCheck>('/api/v1/operator/ledger/check')).toMatchObject({ ok: true });
});
