import { randomUUID } from 'node:crypto';
import {
  type CreatedApiKey,
  type CreatedHostKey,
  Problem,
  Scope,
  type SshKey,
  type User,
} from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiClient, type ApiResponse, type SignedIn, startBackend } from './backend-app.js';
import { ROUTE_ACCESS, type Resource, type RouteAccess } from './http-access.table.js';
import { type Market, SSH_KEY, openMarket } from './market.js';

const routes = Object.entries(ROUTE_ACCESS).map(([name, access]): [string, RouteAccess] => [name, access]);
const where = (condition: (access: RouteAccess) => boolean): [string, RouteAccess][] =>
  routes.filter(([, access]) => condition(access));
const isScoped = ({ needs }: RouteAccess): boolean => needs !== 'open' && needs !== 'guard';

let market: Market;
/** Somebody with one of everything, whose things a stranger may not touch. */
let victim: Record<Resource, string>;
let strangers: Record<'RENT' | 'LEASE' | 'BOTH', SignedIn>;
let operator: SignedIn;

beforeAll(async () => {
  market = await openMarket();
  strangers = {
    RENT: await market.backend.signUp('RENT'),
    LEASE: await market.backend.signUp('LEASE'),
    BOTH: await market.backend.signUp('BOTH'),
  };
  operator = await market.backend.operator();
  victim = await haveOneOfEverything();
});
afterAll(() => market?.close());

async function haveOneOfEverything(): Promise<Record<Resource, string>> {
  const node = await market.node();
  const renter = await market.renter();
  const [offer] = await market.offersOf(node);
  const rental = await renter.rent(offer?.id ?? '');
  const apiKey = await renter.client.post<CreatedApiKey>('/api/v1/api-keys', { name: 'x', scopes: ['read'] });
  const sshKey = await renter.client.post<SshKey>('/api/v1/ssh-keys', { name: 'x', publicKey: SSH_KEY });
  const hostKey = await node.host.client.post<CreatedHostKey>('/api/v1/host-keys', { name: 'x' });
  const team = await renter.client.post<User>('/api/v1/teams', { name: 'theirs' });
  return {
    team: team.id,
    node: node.nodeId,
    rental: rental.id,
    apiKey: apiKey.id,
    sshKey: sshKey.id,
    hostKey: hostKey.id,
  };
}

/** Calls a route with a harmless body; `id` stands for every parameter of the path. */
function call(client: Pick<ApiClient, 'request'>, name: string, id: string = randomUUID()): Promise<ApiResponse> {
  const [method = '', path = ''] = name.split(' ');
  const body = method === 'GET' || method === 'DELETE' ? {} : { body: ROUTE_ACCESS[name]?.body ?? {} };
  return client.request(method, path.replaceAll(/:\w+/g, id), {
    ...body,
    headers: { 'idempotency-key': randomUUID() },
  });
}

const codeOf = ({ body }: ApiResponse): string => Problem.parse(body).code;

it('has a row for every route of the router, and no row too many', () => {
  const registered = market.backend.routes
    .filter(({ method }) => method !== 'HEAD')
    .map(({ method, url }) => `${method} ${url}`);
  expect(registered.toSorted()).toEqual(Object.keys(ROUTE_ACCESS).toSorted());
});

it('is open only where the design allows it', () => {
  expect(where(({ needs }) => needs === 'open').map(([name]) => name)).toEqual([
    'GET /health/live',
    'GET /health/ready',
    'GET /.well-known/jwks.json',
    'POST /api/v1/auth/sign-up',
    'POST /api/v1/auth/sign-in',
    'POST /api/v1/auth/refresh',
  ]);
});

describe('without a credential', () => {
  it.each(where(({ needs }) => needs !== 'open'))('%s answers 401', async (name) => {
    const answer = await call(market.backend, name);
    expect({ status: answer.status, code: codeOf(answer) }).toEqual({ status: 401, code: 'auth.required' });
  });

  it.each(where(({ needs }) => needs === 'open'))('%s does not ask for one', async (name) => {
    expect([401, 403]).not.toContain((await call(market.backend, name)).status);
  });

  it('HEAD asks for one where GET does', async () => {
    const heads = market.backend.routes.filter(
      ({ method, url }) => method === 'HEAD' && ROUTE_ACCESS[`GET ${url}`]?.needs !== 'open',
    );
    expect(heads.length).toBeGreaterThan(10);
    for (const { url } of heads) {
      const { status } = await market.backend.request('HEAD', url.replaceAll(/:\w+/g, randomUUID()));
      expect(status, url).toBe(401);
    }
  });
});

describe('a credential that is none', () => {
  it.each([
    'Bearer nonsense',
    'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJsb2NhbF94In0.',
    'Bearer dck_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    'Basic b3BlcmF0b3I6b3BlcmF0b3I=',
    'Bearer',
  ])('%s opens nothing', async (authorization) => {
    for (const [name] of where(({ needs }) => needs !== 'open')) {
      const [method = '', path = ''] = name.split(' ');
      const answer = await market.backend.request(method, path.replaceAll(/:\w+/g, randomUUID()), {
        headers: { authorization },
      });
      expect({ name, status: answer.status }).toEqual({ name, status: 401 });
    }
  });
});

describe("somebody else's", () => {
  it.each(where(({ of }) => of !== undefined))('%s answers 404, as if it did not exist', async (name, { of }) => {
    if (!of) throw new Error('the row has no resource');
    const [foreign, none] = [
      await call(strangers.BOTH.client, name, victim[of]),
      await call(strangers.BOTH.client, name),
    ];
    expect(answerWithoutId(foreign)).toEqual(answerWithoutId(none));
    expect([403, 404]).toContain(foreign.status);
  });

  it.each(where(({ of }) => of !== undefined))('%s answers an id that is none with 400', async (name) => {
    const answer = await call(strangers.BOTH.client, name, "1'; DROP TABLE x");
    expect({ status: answer.status, code: codeOf(answer) }).toEqual({ status: 400, code: 'request.invalid' });
  });

  it('list shows only what is of the account', async () => {
    for (const path of ['api-keys', 'ssh-keys', 'host-keys', 'nodes', 'rentals', 'transactions']) {
      const { items } = await strangers.BOTH.client.get<{ items: unknown[] }>(`/api/v1/${path}`);
      expect({ path, items }).toEqual({ path, items: [] });
    }
  });

  it('account cannot be acted for by naming it', async () => {
    const { body: me } = await market.backend.request<{ account: { id: string } }>('GET', '/api/v1/me', {
      token: operator.client.token,
    });
    const answer = await strangers.BOTH.client.request('GET', '/api/v1/balance', {
      headers: { 'x-account-id': me.account.id },
    });
    expect(answer.status).toBe(404);
  });
});

/** An answer but for what differs between any two requests. */
function answerWithoutId({ status, body }: ApiResponse) {
  return { status, body: { ...Problem.parse(body), requestId: undefined } };
}

describe('an API key with every scope but one', () => {
  it.each(where(isScoped))('is refused by %s when that is the one it needs', async (name, { needs }) => {
    const scopes = Scope.options.filter((scope) => scope !== needs);
    const key = await operator.client.post<CreatedApiKey>('/api/v1/api-keys', { name: 'all but one', scopes });
    const answer = await call(new ApiClient(market.backend.url, key.secret), name);
    expect({ status: answer.status, code: codeOf(answer) }).toEqual({ status: 403, code: 'auth.scope_missing' });
  });
});

describe('an API key with only the scope that a route needs', () => {
  it.each(where(isScoped))('is let in by %s', async (name, { needs }) => {
    const key = await operator.client.post<CreatedApiKey>('/api/v1/api-keys', { name: 'only one', scopes: [needs] });
    const answer = await call(new ApiClient(market.backend.url, key.secret), name);
    expect([401, 403]).not.toContain(answer.status);
  });
});

it.each(where(({ needs }) => needs === 'operator'))('%s is for operators', async (name) => {
  const answer = await call(strangers.BOTH.client, name);
  expect({ status: answer.status, code: codeOf(answer) }).toEqual({ status: 403, code: 'auth.forbidden' });
});

it.each(where(({ role }) => role !== undefined))('%s is for its role', async (name, { role }) => {
  const other = role === 'RENT' ? strangers.LEASE : strangers.RENT;
  const answer = await call(other.client, name);
  expect({ status: answer.status, code: codeOf(answer) }).toEqual({ status: 403, code: 'auth.role_forbidden' });
  expect((await call(strangers.BOTH.client, name)).status).not.toBe(403);
});

it.each(where(({ needs }) => needs === 'guard'))('%s is for guards: no session opens it', async (name) => {
  expect((await call(operator.client, name)).status).toBe(401);
});

it('a public market shows offers to visitors, and nothing else', async () => {
  const open = await startBackend({ PUBLIC_MARKET: 'true', APP_ROLE: 'http' });
  try {
    for (const [name, { publicMarket, needs }] of where(({ needs: need }) => need !== 'open')) {
      const { status } = await call(open, name);
      if (publicMarket) expect({ name, visitor: status === 200 || status === 404 }).toEqual({ name, visitor: true });
      else expect({ name, needs, status }).toEqual({ name, needs, status: 401 });
    }
    const wrong = await open.request('GET', '/api/v1/offers', { token: 'nonsense' });
    expect(wrong.status).toBe(401);
  } finally {
    await open.close();
  }
});
