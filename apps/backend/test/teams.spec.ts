import { randomUUID } from 'node:crypto';
import type { ActingAccountPage, Me, Problem, TeamMemberPage, TeamRole, User } from '@dcompute/shared-types';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiClient, type BackendApp, type SignedIn, startBackend } from './backend-app.js';

let backend: BackendApp;
beforeAll(async () => {
  backend = await startBackend({ APP_ROLE: 'http' });
});
afterAll(() => backend?.close());

/** A team with one person of each role. */
async function makeTeam() {
  const [owner, admin, member] = [await backend.signUp(), await backend.signUp(), await backend.signUp()];
  const team = await owner.client.post<User>('/api/v1/teams', { name: `team ${randomUUID()}` });
  await setRole(owner, team, admin, 'admin');
  await setRole(owner, team, member, 'member');
  return { team, owner, admin, member };
}

async function setRole(by: SignedIn, team: User, whom: SignedIn, role: TeamRole): Promise<string> {
  const answer = await by.client.request<Problem>('PUT', `/api/v1/teams/${team.id}/members`, {
    body: { email: whom.user.email, role },
  });
  return answer.status === 200 ? 'done' : answer.body.code;
}

async function remove(by: SignedIn, team: User, whom: SignedIn): Promise<string> {
  const answer = await by.client.request<Problem>('DELETE', `/api/v1/teams/${team.id}/members/${whom.user.id}`);
  return answer.status === 204 ? 'done' : answer.body.code;
}

const actFor = (who: SignedIn, team: User) =>
  who.client.request<Me>('GET', '/api/v1/me', { headers: { 'x-account-id': team.id } });

describe('a team', () => {
  it('is an account of its own that its members act for', async () => {
    const { team, owner, member } = await makeTeam();
    expect(team).toMatchObject({ kind: 'TEAM', balance: '0.000000', isOperator: false });
    expect((await actFor(member, team)).body).toMatchObject({ account: { id: team.id }, personId: member.user.id });
    const { items } = await member.client.get<ActingAccountPage>('/api/v1/accounts');
    expect(items.map(({ account, role }) => [account.id, role])).toEqual([
      [member.user.id, null],
      [team.id, 'member'],
    ]);
    const members = await owner.client.get<TeamMemberPage>(`/api/v1/teams/${team.id}/members`);
    expect(members.items.map(({ role }) => role).toSorted()).toEqual(['admin', 'member', 'owner']);
  });

  it('is made once under one key', async () => {
    const { client } = await backend.signUp();
    const key = randomUUID();
    const first = await client.post('/api/v1/teams', { name: 'once' }, key);
    expect(await client.post('/api/v1/teams', { name: 'once' }, key)).toEqual(first);
    expect((await client.get<ActingAccountPage>('/api/v1/accounts')).items).toHaveLength(2);
  });

  it('is managed by owners, by admins below owners, and by members not at all', async () => {
    const { team, owner, admin, member } = await makeTeam();
    const stranger = await backend.signUp();
    expect(await setRole(member, team, stranger, 'member')).toBe('auth.forbidden');
    expect(await setRole(admin, team, stranger, 'owner')).toBe('auth.forbidden');
    expect(await setRole(admin, team, owner, 'member')).toBe('auth.forbidden');
    expect(await remove(admin, team, owner)).toBe('auth.forbidden');
    expect(await remove(member, team, admin)).toBe('auth.forbidden');
    expect(await setRole(stranger, team, stranger, 'owner')).toBe('resource.not_found');
    expect(await setRole(admin, team, stranger, 'member')).toBe('done');
    expect(await setRole(owner, team, stranger, 'owner')).toBe('done');
  });

  it('is renamed, and given another role, by owners and admins only', async () => {
    const { team, admin, member } = await makeTeam();
    const rename = async (who: SignedIn) =>
      (
        await who.client.request<Problem>('PATCH', '/api/v1/me', {
          body: { displayName: 'another', role: 'RENT' },
          headers: { 'x-account-id': team.id },
        })
      ).status;
    expect(await rename(member)).toBe(403);
    expect(await rename(admin)).toBe(200);
  });

  it('its API keys act for it alone, not for other teams of their maker', async () => {
    const { team, owner } = await makeTeam();
    const other = await owner.client.post<User>('/api/v1/teams', { name: 'another' });
    const made = await owner.client.request<{ secret: string }>('POST', '/api/v1/api-keys', {
      body: { name: 'ci', scopes: ['read', 'account:write'] },
      headers: { 'x-account-id': team.id, 'idempotency-key': randomUUID() },
    });
    const key = new ApiClient(backend.url, made.body.secret);
    expect((await key.get<TeamMemberPage>(`/api/v1/teams/${team.id}/members`)).items).toHaveLength(3);
    expect((await key.request('GET', `/api/v1/teams/${other.id}/members`)).status).toBe(404);
    const join = { email: owner.user.email, role: 'owner' };
    expect((await key.request('PUT', `/api/v1/teams/${other.id}/members`, { body: join })).status).toBe(404);
    expect((await key.request('DELETE', `/api/v1/teams/${other.id}/members/${owner.user.id}`)).status).toBe(404);
    const { items } = await key.get<ActingAccountPage>('/api/v1/accounts');
    expect(items.map(({ account }) => account.id)).toEqual([team.id]);
    await expect(key.post('/api/v1/teams', { name: 'a third' })).rejects.toMatchObject({ status: 403 });
  });

  it('is left by whoever wants to, and left at once', async () => {
    const { team, member } = await makeTeam();
    expect(await remove(member, team, member)).toBe('done');
    expect((await actFor(member, team)).status).toBe(404);
  });

  it('always has an owner, also when two of them leave at once', async () => {
    const { team, owner, admin } = await makeTeam();
    expect(await remove(owner, team, owner)).toBe('team.last_owner');
    expect(await setRole(owner, team, owner, 'member')).toBe('team.last_owner');
    expect(await setRole(owner, team, admin, 'owner')).toBe('done');
    const left = await Promise.all([remove(owner, team, owner), remove(admin, team, admin)]);
    expect(left.toSorted()).toEqual(['done', 'team.last_owner']);
  });

  it('never makes its members operators, nor shares its money with them', async () => {
    const { team, owner, member } = await makeTeam();
    await backend.grant(team.id, '5');
    expect((await actFor(member, team)).body.account).toMatchObject({ balance: '5.000000', isOperator: false });
    expect((await owner.client.get<Me>('/api/v1/me')).account.balance).toBe('0.000000');
  });
});
