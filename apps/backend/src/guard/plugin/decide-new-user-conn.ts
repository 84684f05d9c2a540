import { ALLOW, type Decision, type KnownLeases, refuse, refuseUnlessNews } from './decision.js';
import type { NewUserConnContent } from './frp-messages.js';

/** NewUserConn: only to a port whose lease is live, on a node that is not evicted. */
export function decideNewUserConn(connection: NewUserConnContent, known: KnownLeases): Decision {
  const lease = known.leaseNamed(connection.proxy_name);
  if (!lease) return refuseUnlessNews('no such lease');
  if (lease.state !== 'live') return refuse('the lease has ended');
  if (lease.nodeId !== connection.user.user || lease.protocol !== connection.proxy_type)
    return refuse('the lease is another one');
  return known.tokenHashOf(lease.nodeId) === null ? refuse('this node was evicted') : ALLOW;
}
