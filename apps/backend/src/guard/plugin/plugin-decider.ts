import type { GuardLease } from '@dcompute/shared-types';
import type { Logger } from '../../infra/logger.js';
import type { Decision, KnownLeases } from './decision.js';
import { decideLogin } from './decide-login.js';
import { decideNewProxy } from './decide-new-proxy.js';
import { decideNewUserConn } from './decide-new-user-conn.js';
import { decidePing } from './decide-ping.js';
import type { PluginRequest, PluginResponse } from './frp-messages.js';

/** frps waits for us without a limit, and its handling of one node's messages with it. */
const QUESTION_LIMIT_MS = 2_000;

export interface DeciderPorts {
  readonly known: KnownLeases;
  /** Brings what is known to the platform's present; false when that is not possible. */
  readonly catchUp: () => Promise<boolean>;
  readonly bandwidthLimit: string | null;
  /** Called when a node may open the port of a lease. */
  readonly onProxyAllowed: (lease: GuardLease) => void;
  readonly logger: Logger;
}

/** Answers frps from memory. What is not known is asked for once; without an answer it is refused. */
export class PluginDecider {
  constructor(private readonly ports: DeciderPorts) {}

  async answer(request: PluginRequest): Promise<PluginResponse> {
    const decision = await this.#decideWithNews(request);
    if (decision.kind === 'refuse') {
      this.ports.logger.warn('guard.refused', { op: request.op, reason: decision.reason, ...subjectOf(request) });
      return { reject: true, reject_reason: decision.reason };
    }
    if (request.op === 'NewProxy') this.#noteAllowed(request.content.proxy_name);
    return decision.kind === 'change'
      ? { reject: false, unchange: false, content: decision.content }
      : { reject: false, unchange: true };
  }

  async #decideWithNews(request: PluginRequest): Promise<Decision> {
    const decision = this.#decide(request);
    if (decision.kind !== 'refuse' || !decision.outdated) return decision;
    return (await withinLimit(this.ports.catchUp())) ? this.#decide(request) : decision;
  }

  #decide(request: PluginRequest): Decision {
    const { known, bandwidthLimit } = this.ports;
    switch (request.op) {
      case 'Login':
        return decideLogin(request.content, known);
      case 'NewProxy':
        return decideNewProxy(request.content, known, bandwidthLimit);
      case 'NewUserConn':
        return decideNewUserConn(request.content, known);
      case 'Ping':
        return decidePing(request.content, known);
    }
  }

  #noteAllowed(wireName: string): void {
    const lease = this.ports.known.leaseNamed(wireName);
    if (lease) this.ports.onProxyAllowed(lease);
  }
}

async function withinLimit(answer: Promise<boolean>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), QUESTION_LIMIT_MS)));
  return await Promise.race([answer, tooLate]).finally(() => clearTimeout(timer));
}

/** For the log: who asked for what, without tokens. Public addresses are kept for questions of abuse. */
function subjectOf(request: PluginRequest): Record<string, unknown> {
  switch (request.op) {
    case 'Login':
      return { node: request.content.user.slice(0, 100), address: request.content['client_address'] };
    case 'NewProxy':
      return {
        node: request.content.user.user,
        proxy: request.content.proxy_name,
        type: request.content.proxy_type,
        port: request.content.remote_port,
      };
    case 'NewUserConn':
      return { proxy: request.content.proxy_name, address: request.content.remote_addr };
    case 'Ping':
      return { node: request.content.user.user };
  }
}
