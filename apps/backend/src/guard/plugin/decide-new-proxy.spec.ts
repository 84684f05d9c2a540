import { expect, test } from 'vitest';
import { wireNameOf } from '../leases/lease-book.js';
import { decideNewProxy } from './decide-new-proxy.js';
import { NewProxyContent } from './frp-messages.js';
import {
  EVICTED,
  EVICTED_NODE,
  LIVE,
  NODE,
  OTHER_NODE,
  OTHER_TOKEN,
  REVOKED,
  TOKEN,
  knownLeases,
} from '../../../test/known-leases.js';

const leased = {
  user: { user: NODE, metas: { node_token: TOKEN }, run_id: 'r' },
  proxy_name: wireNameOf(LIVE),
  proxy_type: 'tcp',
  remote_port: LIVE.port,
};

test('the leased port of the node, under the name of its lease, is allowed', () => {
  expect(decide({})).toEqual({ kind: 'allow' });
});

test.each<[string, Record<string, unknown>, 'refuse' | 'refuse, may be outdated']>([
  ['a port that is not the leased one', { remote_port: 20_005 }, 'refuse'],
  ['any port', { remote_port: 0 }, 'refuse'],
  ['an unknown lease', { proxy_name: `${NODE}.dc-x-22` }, 'refuse, may be outdated'],
  ['a name without the node', { proxy_name: LIVE.proxyName }, 'refuse'],
  ['the name prefix of another node', { proxy_name: `${OTHER_NODE}.${LIVE.proxyName}` }, 'refuse'],
  ['the lease of another node', { user: { user: OTHER_NODE, metas: { node_token: OTHER_TOKEN } } }, 'refuse'],
  ['a revoked lease', { proxy_name: wireNameOf(REVOKED), remote_port: REVOKED.port }, 'refuse'],
  ['a wrong token', { user: { user: NODE, metas: { node_token: 'x' } } }, 'refuse, may be outdated'],
  ['no token', { user: { user: NODE, metas: null } }, 'refuse, may be outdated'],
  ['an evicted node', { user: { user: EVICTED_NODE, metas: {} }, proxy_name: wireNameOf(EVICTED) }, 'refuse'],
  ['udp', { proxy_type: 'udp' }, 'refuse'],
  ['stcp', { proxy_type: 'stcp', sk: 's', remote_port: 0 }, 'refuse'],
  ['xtcp', { proxy_type: 'xtcp' }, 'refuse'],
  ['sudp', { proxy_type: 'sudp' }, 'refuse'],
  ['http', { proxy_type: 'http', subdomain: 'x' }, 'refuse'],
  ['https', { proxy_type: 'https', custom_domains: ['x.example'] }, 'refuse'],
  ['tcpmux', { proxy_type: 'tcpmux', multiplexer: 'httpconnect' }, 'refuse'],
  ['no type', { proxy_type: '' }, 'refuse'],
  ['a group', { group: 'g', group_key: 'k' }, 'refuse'],
  ['domains on tcp', { custom_domains: ['x.example'] }, 'refuse'],
  ['a field that we do not know', { new_in_frp_1: true }, 'refuse'],
])('%s is refused', (_name, change, expected) => {
  const decision = decide(change);
  expect(decision.kind === 'refuse' && decision.outdated ? 'refuse, may be outdated' : decision.kind).toBe(expected);
});

test('a bandwidth limit is forced, and the whole content returned', () => {
  expect(decide({ use_encryption: true, bandwidth_limit: '9MB', bandwidth_limit_mode: 'client' }, '50MB')).toEqual({
    kind: 'change',
    content: { ...leased, use_encryption: true, bandwidth_limit: '50MB', bandwidth_limit_mode: 'server' },
  });
});

test('a proxy that has the forced limit already is left unchanged', () => {
  expect(decide({ bandwidth_limit: '50MB', bandwidth_limit_mode: 'server' }, '50MB')).toEqual({ kind: 'allow' });
});

function decide(change: Record<string, unknown>, bandwidthLimit: string | null = null) {
  return decideNewProxy(NewProxyContent.parse({ ...leased, ...change }), knownLeases(), bandwidthLimit);
}
