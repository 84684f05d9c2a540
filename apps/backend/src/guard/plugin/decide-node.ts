import { createHash, timingSafeEqual } from 'node:crypto';
import { ALLOW, type Decision, type KnownLeases, refuse, refuseUnlessNews } from './decision.js';
import type { LoginContent } from './frp-messages.js';

/** The metadata under which frpc sends its node's tunnel token. */
const TOKEN_META = 'node_token';

/** Whether frpc is the node that it says it is: its user is the node's id, and its token is that node's. */
export function decideNode({ user, metas }: Pick<LoginContent, 'user' | 'metas'>, known: KnownLeases): Decision {
  const expected = known.tokenHashOf(user);
  if (expected === null) return refuse('this node was evicted');
  if (expected === undefined) return refuseUnlessNews('no such node');
  const token = metas?.[TOKEN_META] ?? '';
  const hash = createHash('sha256').update(token).digest();
  const wanted = Buffer.from(expected, 'hex');
  const isRight = wanted.length === hash.length && timingSafeEqual(wanted, hash);
  return isRight ? ALLOW : refuseUnlessNews('the token is not that of this node');
}
