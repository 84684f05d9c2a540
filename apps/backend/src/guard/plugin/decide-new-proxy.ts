import { ALLOW, type Decision, type KnownLeases, refuse, refuseUnlessNews } from './decision.js';
import { decideNode } from './decide-node.js';
import type { NewProxyContent } from './frp-messages.js';

/** Everything that a tcp proxy may say about itself. Groups, domains, visitors and the like are not among it. */
const ALLOWED_FIELDS = new Set([
  'user',
  'proxy_name',
  'proxy_type',
  'use_encryption',
  'use_compression',
  'bandwidth_limit',
  'bandwidth_limit_mode',
  'metas',
  'annotations',
  'remote_port',
]);

/**
 * NewProxy: a tcp port that is leased to this very node, under the lease's own name, and nothing else. With a
 * `bandwidthLimit` (such as `50MB`) the proxy gets that one, enforced by the server.
 */
export function decideNewProxy(proxy: NewProxyContent, known: KnownLeases, bandwidthLimit: string | null): Decision {
  if (proxy.proxy_type !== 'tcp') return refuse('only tcp proxies are allowed');
  const foreign = Object.keys(proxy).find((field) => !ALLOWED_FIELDS.has(field));
  if (foreign !== undefined) return refuse(`a proxy may not set ${foreign}`);
  if (!proxy.proxy_name.startsWith(`${proxy.user.user}.`)) return refuse('the name is not one of this node');
  const node = decideNode(proxy.user, known);
  if (node.kind !== 'allow') return node;
  const lease = known.leaseNamed(proxy.proxy_name);
  if (!lease) return refuseUnlessNews('no such lease');
  if (lease.nodeId !== proxy.user.user) return refuseUnlessNews('the lease belongs to another node');
  if (lease.state !== 'live') return refuse('the lease has ended');
  if (lease.protocol !== 'tcp' || lease.port !== proxy.remote_port) return refuse('the port is not the leased one');
  return withBandwidthLimit(proxy, bandwidthLimit);
}

function withBandwidthLimit(proxy: NewProxyContent, limit: string | null): Decision {
  if (limit === null || (proxy.bandwidth_limit === limit && proxy.bandwidth_limit_mode === 'server')) return ALLOW;
  return { kind: 'change', content: { ...proxy, bandwidth_limit: limit, bandwidth_limit_mode: 'server' } };
}
