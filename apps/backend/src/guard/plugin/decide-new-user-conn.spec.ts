import { expect, test } from 'vitest';
import { wireNameOf } from '../leases/lease-book.js';
import { decideNewUserConn } from './decide-new-user-conn.js';
import { NewUserConnContent } from './frp-messages.js';
import { EVICTED, LIVE, OTHER_NODE, REVOKED, knownLeases } from '../../../test/known-leases.js';

test.each<[string, Record<string, unknown>, string]>([
  ['a live lease', {}, 'allow'],
  ['a revoked lease', { proxy_name: wireNameOf(REVOKED) }, 'refuse'],
  ['an unknown lease', { proxy_name: 'x.y' }, 'refuse'],
  ['the lease of another node', { user: { user: OTHER_NODE } }, 'refuse'],
  ['another type', { proxy_type: 'stcp' }, 'refuse'],
  ['an evicted node', { proxy_name: wireNameOf(EVICTED), user: { user: EVICTED.nodeId } }, 'refuse'],
])('a connection to %s', (_name, change, expected) => {
  const content = { user: { user: LIVE.nodeId }, proxy_name: wireNameOf(LIVE), proxy_type: 'tcp', ...change };
  expect(decideNewUserConn(NewUserConnContent.parse(content), knownLeases()).kind).toBe(expected);
});
