import { randomUUID } from 'node:crypto';
import type { Principal } from '../src/infra/index.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AccountsService } from '../src/modules/identity/index.js';
import { TeamsService } from '../src/modules/identity/teams.service.js';
import { ApiKeysService } from '../src/modules/keys/api-keys.service.js';
import { SshKeysService } from '../src/modules/keys/ssh-keys.service.js';
import { CreditsService } from '../src/modules/ledger/credits.service.js';
import { HostKeysService, NodesService } from '../src/modules/nodes/index.js';
import { RentalsService } from '../src/modules/rentals/rentals.service.js';
import { type BackendApp, startBackend } from './backend-app.js';
import { SSH_KEY } from './market.js';

let backend: BackendApp;
beforeAll(async () => {
  backend = await startBackend({ APP_ROLE: 'http' });
});
afterAll(() => backend?.close());

/** Somebody who may read, and nothing else. */
const reader: Principal = {
  accountId: randomUUID(),
  personId: randomUUID(),
  role: 'BOTH',
  isOperator: false,
  scopes: ['read'],
  via: 'api_key',
  apiKeyId: randomUUID(),
  sessionId: null,
  ip: null,
};
const id = randomUUID();
const of = <T>(service: abstract new (...args: never[]) => T): T => backend.app.get<T>(service);

/** Every method that changes something; `needs` is the scope that it asks for. */
const CHANGES: readonly (readonly [name: string, needs: string, change: () => Promise<unknown>])[] = [
  ['a grant', 'operator', () => of(CreditsService).grant(reader, id, { userId: id, amount: '1', reason: 'x' })],
  ['a node', 'nodes:write', () => of(NodesService).update(reader, id, { name: 'x' })],
  ['a drain', 'nodes:write', () => of(NodesService).drain(reader, id, 'no_new')],
  ['a confirmation', 'operator', () => of(NodesService).confirm(reader, id)],
  ['a host key', 'keys:write', () => of(HostKeysService).create(reader, { name: 'x' }, id)],
  ['the end of a host key', 'keys:write', () => of(HostKeysService).revoke(reader, id)],
  ['an API key', 'keys:write', () => of(ApiKeysService).create(reader, id, { name: 'x', scopes: ['read'] })],
  ['the end of an API key', 'keys:write', () => of(ApiKeysService).revoke(reader, id)],
  ['an SSH key', 'keys:write', () => of(SshKeysService).create(reader, id, { name: 'x', publicKey: SSH_KEY })],
  ['the end of an SSH key', 'keys:write', () => of(SshKeysService).remove(reader, id)],
  ['an account', 'account:write', () => of(AccountsService).update(reader, { role: 'RENT' })],
  ['a team', 'account:write', () => of(TeamsService).create(reader, id, { name: 'x' })],
  ['a member', 'account:write', () => of(TeamsService).setMember(reader, id, { email: 'a@b.cd', role: 'owner' })],
  ['the end of a member', 'account:write', () => of(TeamsService).removeMember(reader, id, id)],
  ['a stop', 'rentals:write', () => of(RentalsService).stop(reader, id)],
  ['a start', 'rentals:write', () => of(RentalsService).start(reader, id)],
  ['the end of a rental', 'rentals:write', () => of(RentalsService).delete(reader, id)],
  ['a change of a rental', 'rentals:write', () => of(RentalsService).update(reader, id, { label: 'x' })],
];

describe('a service asks for the permission itself, whichever door leads to it', () => {
  it.each(CHANGES)('for %s', async (_name, needs, change) => {
    const code = needs === 'operator' ? 'auth.forbidden' : 'auth.scope_missing';
    await expect(change()).rejects.toMatchObject({ code });
  });
});
