import type { ProtocolError } from '@dcompute/shared-types';
import type { AgentSession } from '../agent-session.js';

/**
 * The agent could not use a message of ours. When it holds back a list that would stop most of its instances (R6), the node
 * is frozen until an operator has looked.
 */
export function takeError({ services, connection }: AgentSession, { code, message }: ProtocolError): void {
  const { nodeId, sessionEpoch } = connection.session;
  services.logger.warn('gateway.agent_error', { nodeId, code, detail: message });
  if (code !== 'agent.mass_stop_held') return;
  connection.enqueue(async () => {
    await services.nodes
      .freeze({ nodeId, sessionEpoch }, `The node holds back a list that would stop most of its instances: ${message}`)
      .catch((error: unknown) => services.logger.error('gateway.freeze_failed', error, { nodeId }));
  });
}
