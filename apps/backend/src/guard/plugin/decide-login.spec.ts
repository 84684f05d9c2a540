import { expect, test } from 'vitest';
import { decideLogin } from './decide-login.js';
import { EVICTED_NODE, NODE, OTHER_TOKEN, TOKEN, knownLeases } from '../../../test/known-leases.js';

const unknown = '99999999-9999-4999-8999-999999999999';

test.each([
  ['a known node with its token', NODE, TOKEN, 'allow'],
  ['a node with the token of another node', NODE, OTHER_TOKEN, 'refuse, may be outdated'],
  ['a node with the hash of its token', NODE, '', 'refuse, may be outdated'],
  ['a node that nobody knows', unknown, TOKEN, 'refuse, may be outdated'],
  ['an evicted node', EVICTED_NODE, TOKEN, 'refuse'],
  ['nobody', '', TOKEN, 'refuse, may be outdated'],
])('%s', (_name, user, token, expected) => {
  const decision = decideLogin({ user, metas: { node_token: token } }, knownLeases());
  expect(decision.kind === 'refuse' && decision.outdated ? 'refuse, may be outdated' : decision.kind).toBe(expected);
});

test('a login without metadata is refused', () => {
  expect(decideLogin({ user: NODE, metas: null }, knownLeases()).kind).toBe('refuse');
});
