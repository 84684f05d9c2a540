import { connect } from 'node:net';
import { Problem } from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiClient, type BackendApp, type SignedIn, startBackend } from './backend-app.js';

let backend: BackendApp;
let person: SignedIn;
beforeAll(async () => {
  backend = await startBackend({ HTTP_BODY_LIMIT_BYTES: '2048' });
  person = await backend.signUp();
});
afterAll(() => backend?.close());

const signIn = (body: unknown, headers: Record<string, string> = {}) =>
  backend.request<Problem>('POST', '/api/v1/auth/sign-in', { body, headers });

const page = (position: string[]) =>
  person.client.request<Problem>(
    'GET',
    `/api/v1/rentals?cursor=${Buffer.from(JSON.stringify(position)).toString('base64url')}`,
  );

describe('an error', () => {
  it('is problem details with a stable code and the id of the request', async () => {
    const answer = await backend.request<Problem>('GET', '/api/v1/me', { headers: { 'x-request-id': 'my-request-1' } });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    expect(answer.headers.get('x-request-id')).toBe('my-request-1');
    expect(Problem.parse(answer.body)).toMatchObject({ status: 401, code: 'auth.required', requestId: 'my-request-1' });
  });

  it.each([
    ['an unknown route', () => backend.request<Problem>('GET', '/api/v1/nothing'), 404, 'resource.not_found'],
    [
      'a path that cannot be decoded',
      () => backend.request<Problem>('GET', '/api/v1/%E0%A4%A'),
      400,
      'request.invalid',
    ],
    ['a body that is no JSON', () => signIn('{"email": '), 400, 'request.invalid'],
    ['an empty body', () => signIn(''), 400, 'request.invalid'],
    ['a body of another type', () => signIn('email=a', { 'content-type': 'text/csv' }), 400, 'request.invalid'],
    [
      'a body above the limit',
      () => signIn({ email: 'a@example.com', password: 'x'.repeat(4096) }),
      413,
      'request.too_large',
    ],
    ['a body that is a list', () => signIn([]), 400, 'request.invalid'],
  ])('for %s tells nothing of the inside', async (_what, send, status, code) => {
    const { status: actual, body } = await send();
    expect({ status: actual, code: Problem.parse(body).code }).toEqual({ status, code });
    expect(JSON.stringify(body)).not.toMatch(/node_modules|\.ts:|SELECT|FST_/);
  });

  it('names every field that was refused, unknown ones too', async () => {
    const { body } = await signIn({ email: 'nobody', password: '', remember: true });
    expect(body.code).toBe('request.invalid');
    expect(body.errors?.map(({ field }) => field).toSorted()).toEqual(['email', 'password', 'remember']);
  });

  it.each([
    [
      'a NUL in a field',
      () => person.client.request<Problem>('PATCH', '/api/v1/me', { body: { displayName: 'a\0b' } }),
    ],
    [
      'half a character',
      () => person.client.request<Problem>('PATCH', '/api/v1/me', { body: { displayName: '\ud800' } }),
    ],
    ['a NUL in a name', () => person.client.request<Problem>('PATCH', '/api/v1/me', { body: { 'a\0b': 1 } })],
    ['a NUL in a query', () => person.client.request<Problem>('GET', '/api/v1/offers?gpuModel=a%00b')],
    ['a day that does not exist in a cursor', () => page(['2024-02-31T00:00:00.000Z', person.user.id])],
    ['an hour that does not exist in a cursor', () => page(['2024-02-01T25:00:00.000Z', person.user.id])],
    ['a year before all years in a cursor', () => page(['0000-02-01T00:00:00.000Z', person.user.id])],
  ])("is the caller's for %s, which the database would not take", async (_what, send) => {
    const { status, body } = await send();
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'request.invalid' });
  });

  it('in a query names the parameter', async () => {
    const refused = (path: string) =>
      person.client.request<Problem>('GET', path).then(({ body }) => body.errors?.map((error) => error.field));
    expect(await refused('/api/v1/transactions?limit=0')).toEqual(['limit']);
    expect(await refused('/api/v1/offers?maxprice=1')).toEqual(['maxprice']);
    expect(await refused('/api/v1/offers/not-a-uuid')).toEqual(['id']);
  });

  it('on our side is "internal", whatever it was', async () => {
    await backend.db.query('ALTER TABLE "SshKey" RENAME TO "SshKeyAway"');
    try {
      const { status, body } = await person.client.request<Problem>('GET', '/api/v1/ssh-keys');
      expect({ status, code: body.code }).toEqual({ status: 500, code: 'internal' });
      expect(JSON.stringify(body)).not.toMatch(/SshKey|relation|prisma/i);
    } finally {
      await backend.db.query('ALTER TABLE "SshKeyAway" RENAME TO "SshKey"');
    }
  });
});

it('never takes an unsafe request id', async () => {
  const { headers } = await backend.request('GET', '/health/live', { headers: { 'x-request-id': 'a b' } });
  expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
});

it('sends headers that forbid caching, sniffing and framing', async () => {
  const { headers } = await person.client.request('GET', '/api/v1/me');
  expect(headers.get('cache-control')).toBe('no-store');
  expect(headers.get('x-content-type-options')).toBe('nosniff');
  expect(headers.get('content-security-policy')).toContain("default-src 'none'");
  expect(headers.get('x-powered-by')).toBeNull();
});

it('answers malformed HTTP without telling anything', async () => {
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(backend.port, '127.0.0.1', () => socket.write('GARBAGE\r\n\r\n'));
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('close', () => resolve(text)).on('error', reject);
  });
  expect(answer).toMatch(/^HTTP\/1.1 400/);
  expect(answer).not.toMatch(/node_modules|at /);
});

describe('the OpenAPI document', () => {
  interface Operation {
    readonly operationId: string;
    readonly parameters?: { name: string; in: string }[];
    readonly security?: unknown[];
    readonly responses: Record<string, { content?: Record<string, { schema: unknown }> }>;
  }
  type Document = {
    openapi: string;
    paths: Record<string, Record<string, Operation>>;
    components: { schemas: Record<string, unknown> };
  };
  let document: Document;
  let operations: [string, Operation][];
  beforeAll(async () => {
    document = await person.client.get<Document>('/api/openapi.json');
    operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]): [string, Operation] => [
        `${method.toUpperCase()} ${path}`,
        operation,
      ]),
    );
  });

  it('is 3.1 and has every route of the API', () => {
    expect(document.openapi).toBe('3.1.0');
    const routed = backend.routes
      .filter(({ method, url }) => url.startsWith('/api/v1/') && method !== 'HEAD' && method !== 'OPTIONS')
      .map(({ method, url }) => `${method} ${url.replaceAll(/:(\w+)/g, '{$1}')}`);
    expect(operations.map(([name]) => name).toSorted()).toEqual(routed.toSorted());
  });

  it('says of every operation what it answers, and has an id of its own for it', () => {
    for (const [name, { responses }] of operations) {
      const success = Object.entries(responses).filter(([status]) => status.startsWith('2'));
      expect(success, name).toHaveLength(1);
      const [[status, response] = ['', {}]] = success;
      if (status !== '204') expect(response?.content?.['application/json']?.schema, name).toBeDefined();
      expect(responses['default']?.content, name).toHaveProperty('application/problem+json');
    }
    const ids = operations.map(([, { operationId }]) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('asks for an Idempotency-Key on every create, and for a credential but at sign-in', () => {
    const open = operations.filter(([, { security }]) => security?.length === 0).map(([name]) => name);
    expect(open.toSorted()).toEqual([
      'POST /api/v1/auth/refresh',
      'POST /api/v1/auth/sign-in',
      'POST /api/v1/auth/sign-up',
    ]);
    const creates = operations.filter(([name, { responses }]) => '201' in responses && !open.includes(name));
    for (const [name, { parameters }] of creates) {
      expect(
        parameters?.map((parameter) => parameter.name),
        name,
      ).toContain('Idempotency-Key');
    }
  });

  it('refers to nothing that it does not have', () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(
      ([, name]) => name ?? '',
    );
    expect(references.length).toBeGreaterThan(20);
    for (const name of references) expect(document.components.schemas).toHaveProperty([name]);
    expect(JSON.stringify(document)).not.toMatch(/"nullable"|#\/\$defs/);
  });
});

describe('rate limits', () => {
  it('count by address and by account, tell what is left, and let in again', async () => {
    const limited = await startBackend({ RATE_LIMIT_PER_MINUTE: '20', RATE_LIMIT_IP_PER_MINUTE: '60' });
    try {
      const [one, other] = [await limited.signUp(), await limited.signUp()];
      const first = await one.client.request('GET', '/api/v1/me');
      expect(first.headers.get('ratelimit-policy')).toBe('"account";q=20;w=60');
      expect(first.headers.get('ratelimit')).toMatch(/^"account";r=19;t=\d+$/);
      const statusesOf = async (client: ApiClient, count: number) =>
        (await Promise.all(Array.from({ length: count }, () => client.request<Problem>('GET', '/api/v1/me')))).map(
          ({ status }) => status,
        );
      const statuses = await statusesOf(one.client, 24);
      expect(statuses.filter((status) => status === 429).length).toBeGreaterThanOrEqual(4);
      expect(await statusesOf(other.client, 1)).toEqual([200]);
      const anonymous = await Promise.all(
        Array.from({ length: 60 }, () => limited.request<Problem>('GET', '/api/v1/me')),
      );
      const refused = anonymous.find(({ status }) => status === 429);
      expect(refused?.body.code).toBe('request.rate_limited');
      expect(Number(refused?.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect((await limited.request('GET', '/health/live')).status).toBe(200);
    } finally {
      await limited.close();
    }
  });
});

it.each(['gateway', 'worker'])('serves health and no REST in the role %s', async (role) => {
  const other = await startBackend({ APP_ROLE: role });
  try {
    expect((await other.request('GET', '/health/ready')).status).toBe(200);
    expect(await other.request('POST', '/api/v1/auth/sign-in', { body: {} })).toMatchObject({ status: 404 });
  } finally {
    await other.close();
  }
});

it('is not ready while its database cannot be reached, and is ready again by itself', async () => {
  const other = await startBackend();
  try {
    await other.database.setReachable(false);
    const away = await other.request<Problem>('GET', '/health/ready');
    expect({ status: away.status, code: away.body.code }).toEqual({ status: 503, code: 'service.unavailable' });
    expect((await other.request('GET', '/health/live')).status).toBe(200);
    await other.database.setReachable(true);
    expect((await other.request('GET', '/health/ready')).status).toBe(200);
  } finally {
    await other.database.setReachable(true);
    await other.close();
  }
});
