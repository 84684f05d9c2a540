import type { Decision, KnownLeases } from './decision.js';
import { decideNode } from './decide-node.js';
import type { LoginContent } from './frp-messages.js';

/** Login: a node that is known and not evicted, with its own token. */
export function decideLogin(login: LoginContent, known: KnownLeases): Decision {
  return decideNode(login, known);
}
