import { ALLOW, type Decision, type KnownLeases, refuse } from './decision.js';
import type { PingContent } from './frp-messages.js';

/** Ping: refused for evicted nodes only; frps then closes their connection after its heartbeat time-out. */
export function decidePing(ping: PingContent, known: KnownLeases): Decision {
  return known.tokenHashOf(ping.user.user) === null ? refuse('this node was evicted') : ALLOW;
}
