import type { IncomingMessage } from 'node:http';
import { Injectable } from '@nestjs/common';
import { Logger } from '../infra/index.js';
import { AgentRefusal, HostKeysService } from '../modules/nodes/index.js';
import { AgentConnections } from './connections.js';
import { GATEWAY_LIMITS } from './limits.js';

/** Decides whether a request may become an agent's socket. */
@Injectable()
export class AgentUpgrade {
  #pending = 0;

  constructor(
    private readonly hostKeys: HostKeysService,
    private readonly connections: AgentConnections,
    private readonly logger: Logger,
  ) {}

  /** The id of the host key behind the request. Throws an AgentRefusal, and nothing else. */
  async admit(request: IncomingMessage): Promise<string> {
    if (this.#pending >= GATEWAY_LIMITS.pendingUpgrades || this.connections.size >= GATEWAY_LIMITS.connections) {
      throw new AgentRefusal(
        'agent.internal',
        'This replica has no room for another agent now. Try again after a pause.',
      );
    }
    this.#pending += 1;
    try {
      return await this.#authenticate(request);
    } catch (error) {
      if (error instanceof AgentRefusal) throw error;
      this.logger.error('gateway.upgrade_failed', error);
      throw new AgentRefusal('agent.internal', 'The host key could not be looked up. Try again after a pause.');
    } finally {
      this.#pending -= 1;
    }
  }

  async #authenticate(request: IncomingMessage): Promise<string> {
    const secret = /^Bearer (\S{1,200})$/i.exec(request.headers.authorization ?? '')?.[1];
    if (!secret)
      throw new AgentRefusal('agent.host_key_invalid', 'Send the host key: "Authorization: Bearer <HOST_API_KEY>".');
    const hostKeyId = await this.hostKeys.authenticate(secret);
    if (this.connections.ofHostKey(hostKeyId).length >= GATEWAY_LIMITS.connectionsPerHostKey) {
      throw new AgentRefusal(
        'agent.rate_limited',
        'This host key has too many connections. Use one key for each node.',
      );
    }
    return hostKeyId;
  }
}
