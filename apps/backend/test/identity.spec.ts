import { createHmac, generateKeyPairSync, randomUUID } from 'node:crypto';
import type { Me, Problem, SessionResponse } from '@dcompute/shared-types';
import { type JWTPayload, SignJWT, createLocalJWKSet, decodeJwt, type JSONWebKeySet, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiClient, type BackendApp, startBackend } from './backend-app.js';

describe('the embedded identity', () => {
  let backend: BackendApp;
  beforeAll(async () => {
    backend = await startBackend();
  });
  afterAll(() => backend?.close());

  const post = <T>(path: string, body: unknown) => backend.request<T>('POST', `/api/v1/auth/${path}`, { body });
  const me = (token: string) => backend.request<Me & Problem>('GET', '/api/v1/me', { token });

  it('signs up with a role, in, and renews the token', async () => {
    const email = `Mixed.Case-${randomUUID()}@Example.com`;
    const password = 'a long password';
    const up = await post<SessionResponse>('sign-up', { email, password, displayName: 'Ada', role: 'LEASE' });
    expect(up).toMatchObject({
      status: 201,
      body: { user: { email: email.toLowerCase(), displayName: 'Ada', role: 'LEASE', isOperator: false } },
    });
    const signedIn = await post<SessionResponse>('sign-in', { email: email.toUpperCase(), password });
    expect(signedIn).toMatchObject({ status: 200, body: { user: { id: up.body.user.id } } });
    const renewed = await post<SessionResponse>('refresh', { sessionToken: signedIn.body.sessionToken });
    expect((await me(renewed.body.token)).body.account.id).toBe(up.body.user.id);
    expect(up.body.user.clerkId).toMatch(/^local_/);
  });

  it('refuses every token of a session from the moment of its sign-out, and leaves other sessions alone', async () => {
    const { user, password, client, session } = await backend.signUp();
    const { body: other } = await post<SessionResponse>('sign-in', { email: user.email, password });
    expect((await client.request('POST', '/api/v1/auth/sign-out')).status).toBe(204);
    expect(await me(session.token)).toMatchObject({ status: 401, body: { code: 'auth.required' } });
    expect(await post('refresh', { sessionToken: session.sessionToken })).toMatchObject({ status: 401 });
    expect((await me(other.token)).status).toBe(200);
  });

  it('tells an unknown address and a wrong password alike', async () => {
    const { user } = await backend.signUp();
    const answers = await Promise.all([
      post<Problem>('sign-in', { email: user.email, password: 'not the password' }),
      post<Problem>('sign-in', { email: `nobody-${randomUUID()}@example.com`, password: 'not the password' }),
    ]);
    const [wrong, unknown] = answers.map(({ status, body: { requestId: _id, ...problem } }) => ({ status, problem }));
    expect(wrong).toMatchObject({ status: 401, problem: { code: 'auth.invalid_credentials' } });
    expect(unknown).toEqual(wrong);
  });

  it('gives an address once, however it is written and however many ask at once', async () => {
    const email = `once-${randomUUID()}@example.com`;
    const spellings = [email, email.toUpperCase(), email, email];
    const statuses = (
      await Promise.all(spellings.map((spelling) => post('sign-up', { email: spelling, password: 'a long password' })))
    ).map(({ status }) => status);
    expect(statuses.toSorted((a, b) => a - b)).toEqual([201, 409, 409, 409]);
  });

  it('makes nobody an operator by sign-up', async () => {
    const answer = await post<Problem>('sign-up', {
      email: `op-${randomUUID()}@example.com`,
      password: 'a long password',
      isOperator: true,
    });
    expect(answer).toMatchObject({ status: 400, body: { code: 'request.invalid', errors: [{ field: 'isOperator' }] } });
    const { client } = await backend.signUp();
    await expect(client.patch('/api/v1/me', { isOperator: true })).rejects.toMatchObject({ status: 400 });
  });

  it('publishes the keys that verify its tokens, and no private part', async () => {
    const { session } = await backend.signUp();
    const { body: jwks } = await backend.request<JSONWebKeySet>('GET', '/.well-known/jwks.json');
    const { protectedHeader } = await jwtVerify(session.token, createLocalJWKSet(jwks));
    expect(protectedHeader.alg).toBe('RS256');
    expect(JSON.stringify(jwks)).not.toMatch(/"(d|p|q|dp|dq|qi)":/);
  });

  it('refuses a token that was changed, that names its own algorithm, or that its public key "signed"', async () => {
    const { session } = await backend.signUp();
    const [header = '', payload = '', signature = ''] = session.token.split('.');
    const operator = (await backend.operator()).session;
    const forged = Buffer.from(
      JSON.stringify({ ...decodeJwt(session.token), sub: decodeJwt(operator.token).sub }),
    ).toString('base64url');
    const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url');
    const hs256 = Buffer.from(JSON.stringify({ alg: 'HS256', typ: 'JWT' })).toString('base64url');
    const { body: jwks } = await backend.request('GET', '/.well-known/jwks.json');
    const mac = createHmac('sha256', JSON.stringify(jwks)).update(`${hs256}.${payload}`).digest('base64url');
    const tampered = [
      `${header}.${forged}.${signature}`,
      `${none}.${payload}.`,
      `${hs256}.${payload}.${mac}`,
      `${session.token}x`,
    ];
    for (const token of tampered) expect((await me(token)).status, token.slice(0, 30)).toBe(401);
  });

  it('refuses a disabled account at its next request', async () => {
    const { user, client } = await backend.signUp();
    await backend.db.query('UPDATE "User" SET "disabledAt" = now() WHERE "id" = $1', [user.id]);
    await expect(client.get('/api/v1/me')).rejects.toMatchObject({ status: 403, problem: { code: 'auth.forbidden' } });
  });

  it('lets nobody guess: attempts of one address at one account are counted', async () => {
    const strict = await startBackend({ SIGN_IN_LIMIT_PER_MINUTE: '3' });
    try {
      const attempt = () =>
        strict.request<Problem>('POST', '/api/v1/auth/sign-in', {
          body: { email: 'victim@example.com', password: 'wrong wrong' },
        });
      const codes: string[] = [];
      for (let n = 0; n < 4; n += 1) codes.push((await attempt()).body.code);
      expect(codes).toEqual([...Array<string>(3).fill('auth.invalid_credentials'), 'request.rate_limited']);
    } finally {
      await strict.close();
    }
  });
});

describe('a Clerk session token, verified without network', () => {
  const issuer = 'https://clerk.example.com';
  const party = 'https://console.example.com';
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const strangerKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  let backend: BackendApp;

  beforeAll(async () => {
    backend = await startBackend({
      CLERK_JWT_KEY: publicKey.export({ type: 'spki', format: 'pem' }).toString().replaceAll('\n', '\\n'),
      CLERK_ISSUER: issuer,
      CLERK_AUTHORIZED_PARTIES: `https://other.example.com, ${party}`,
      EMBEDDED_AUTH_SECRET: '',
      OPERATOR_EMAIL: '',
      OPERATOR_PASSWORD: '',
    });
  });
  afterAll(() => backend?.close());

  const nowSeconds = () => Math.floor(Date.now() / 1000);
  const claims = (): JWTPayload => ({
    sub: `user_${randomUUID()}`,
    sid: 'sess_1',
    azp: party,
    iss: issuer,
    v: 2,
    iat: nowSeconds(),
    nbf: nowSeconds() - 5,
    exp: nowSeconds() + 60,
  });
  const sign = (payload: Record<string, unknown>, key = privateKey, alg = 'RS256') =>
    new SignJWT(payload).setProtectedHeader({ alg, typ: 'JWT' }).sign(key);
  const me = async (token: string, headers: Record<string, string> = {}) =>
    backend.request<Me & Problem>('GET', '/api/v1/me', { token, headers });

  it('makes the account at first sight, and is the same account from then on', async () => {
    const payload = claims();
    const first = await me(await sign({ ...payload, email: 'Ada@example.com', name: 'Ada' }));
    expect(first).toMatchObject({
      status: 200,
      body: {
        via: 'session',
        account: { clerkId: payload.sub, email: 'ada@example.com', displayName: 'Ada', kind: 'PERSON' },
      },
    });
    const again = await Promise.all(Array.from({ length: 4 }, async () => me(await sign(payload))));
    for (const { body } of again) expect(body.account.id).toBe(first.body.account.id);
  });

  it('that comes many times at once at first sight makes one account', async () => {
    const token = await sign(claims());
    const answers = await Promise.all(Array.from({ length: 8 }, () => me(token)));
    expect(new Set(answers.map(({ body }) => body.account.id)).size).toBe(1);
  });

  it.each([
    ['another authorized party', { azp: 'https://evil.example.com' }],
    ['no authorized party', { azp: undefined }],
    ['another issuer', { iss: 'https://clerk.evil.com' }],
    ['an expiry in the past', { exp: nowSeconds() - 60 }],
    ['a start in the future', { nbf: nowSeconds() + 600 }],
    ['no subject', { sub: undefined }],
  ])('with %s is refused', async (_what, change) => {
    const answer = await me(await sign({ ...claims(), ...change }));
    expect({ status: answer.status, code: answer.body.code }).toEqual({ status: 401, code: 'auth.required' });
  });

  it('of another key, another algorithm or with a changed payload is refused', async () => {
    const [header, , signature] = (await sign(claims())).split('.');
    const changed = Buffer.from(JSON.stringify({ ...claims(), sub: 'user_admin' })).toString('base64url');
    const tokens = [
      await sign(claims(), strangerKey),
      await sign(claims(), privateKey, 'PS256'),
      `${header}.${changed}.${signature}`,
    ];
    for (const token of tokens) expect((await me(token)).status).toBe(401);
  });

  it.each([
    ['version 2', (org: string) => ({ o: { id: org, rol: 'admin', slg: 'acme' } })],
    ['version 1', (org: string) => ({ v: 1, org_id: org, org_role: 'org:admin' })],
  ])('with an active organisation (%s) acts for the team', async (_version, active) => {
    const org = `org_${randomUUID()}`;
    const payload = claims();
    const { body: asTeam } = await me(await sign({ ...payload, ...active(org) }));
    expect(asTeam.account).toMatchObject({ kind: 'TEAM', clerkId: org });
    const { body: asPerson } = await me(await sign(payload));
    expect(asPerson.account).toMatchObject({ kind: 'PERSON', id: asTeam.personId });
    expect((await me(await sign(payload), { 'x-account-id': asTeam.account.id })).body.account.id).toBe(
      asTeam.account.id,
    );
    expect((await me(await sign(claims()), { 'x-account-id': asTeam.account.id })).status).toBe(404);
  });

  it('is the only way in: the embedded sign-up is off', async () => {
    const body = { email: 'a@example.com', password: 'a long password' };
    expect(await backend.request('POST', '/api/v1/auth/sign-up', { body })).toMatchObject({
      status: 403,
      body: { code: 'auth.forbidden' },
    });
    expect((await backend.request('GET', '/.well-known/jwks.json')).body).toEqual({ keys: [] });
  });

  it('can make an API key that works without it', async () => {
    const client = new ApiClient(backend.url, await sign(claims()));
    const key = await client.post<{ secret: string }>('/api/v1/api-keys', { name: 'x', scopes: ['read'] });
    expect((await me(key.secret)).body.via).toBe('api_key');
  });
});
