import { Injectable } from '@nestjs/common';
import type { AgentConnection } from './agent-connection.js';
import type { LiveSession } from './live-session.js';

/** Every socket of this replica, and the live session of each node. */
@Injectable()
export class AgentConnections {
  readonly #all = new Set<AgentConnection>();
  readonly #byNode = new Map<string, LiveSession>();
  readonly #byHostKey = new Map<string, Set<AgentConnection>>();

  get size(): number {
    return this.#all.size;
  }

  all(): Iterable<AgentConnection> {
    return this.#all;
  }

  live(): LiveSession[] {
    return [...this.#byNode.values()];
  }

  ofNode(nodeId: string): LiveSession | undefined {
    return this.#byNode.get(nodeId);
  }

  ofHostKey(hostKeyId: string): AgentConnection[] {
    return [...(this.#byHostKey.get(hostKeyId) ?? [])];
  }

  add(connection: AgentConnection): void {
    this.#all.add(connection);
    const siblings = this.#byHostKey.get(connection.hostKeyId) ?? new Set();
    this.#byHostKey.set(connection.hostKeyId, siblings.add(connection));
  }

  /** Makes a session the one of its node; an older one is never put over a newer one, nor one whose socket is gone. */
  goLive(session: LiveSession): void {
    if (!this.#all.has(session.connection)) return;
    const { nodeId, sessionEpoch } = session.connection.session;
    const present = this.#byNode.get(nodeId);
    if (present && present.connection.session.sessionEpoch > sessionEpoch) return;
    this.#byNode.set(nodeId, session);
  }

  remove(connection: AgentConnection): void {
    this.#all.delete(connection);
    const siblings = this.#byHostKey.get(connection.hostKeyId);
    siblings?.delete(connection);
    if (siblings?.size === 0) this.#byHostKey.delete(connection.hostKeyId);
    const nodeId = connection.session?.nodeId;
    if (nodeId !== undefined && this.#byNode.get(nodeId)?.connection === connection) this.#byNode.delete(nodeId);
  }
}
