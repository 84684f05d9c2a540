import { AGENT_PROTOCOL_VERSION, type Hello, type ProxyServerAccess } from '@dcompute/shared-types';
import { AgentRefusal } from '../../modules/nodes/index.js';
import { type AgentConnection, isLive } from '../agent-connection.js';
import { AgentSession } from '../agent-session.js';
import type { GatewayServices } from '../gateway-services.js';
import { NodeSync } from '../node-sync.js';

/**
 * Opens the session of a hello: from the commit on, every older session of the node is fenced. The agent gets `welcome`,
 * then the full desired list; `onLive` is called before, since it may answer the welcome at once. A refused agent is told
 * why. Never throws.
 */
export async function takeHello(
  services: GatewayServices,
  connection: AgentConnection,
  hello: Hello,
  onLive: (session: AgentSession) => void,
): Promise<void> {
  try {
    if (hello.protocol_version !== AGENT_PROTOCOL_VERSION) throw versionUnsupported();
    const { hostKeyId, nonce } = connection;
    connection.session = await services.sessions.open({ hostKeyId, nonce, hello });
    if (!isLive(connection) || !connection.isOpen) return;
    const sync = new NodeSync(services, connection);
    const session = new AgentSession(services, connection, sync);
    const proxyServers = await services.tunnels.accessFor(connection.session.nodeId);
    services.connections.goLive(session);
    onLive(session);
    sendWelcome(session, proxyServers);
    await sync.begin();
  } catch (error) {
    if (error instanceof AgentRefusal) {
      services.logger.warn('gateway.hello_refused', { hostKeyId: connection.hostKeyId, code: error.code });
      connection.end(error.code, error.message);
    } else {
      services.logger.error('gateway.hello_failed', error, { hostKeyId: connection.hostKeyId });
      connection.end('agent.internal', 'The session could not be opened. Connect again after a pause.');
    }
  }
}

function versionUnsupported(): AgentRefusal {
  return new AgentRefusal(
    'agent.protocol_version_unsupported',
    `This platform speaks version ${AGENT_PROTOCOL_VERSION} of the agent protocol. Install the agent that belongs to it.`,
  );
}

function sendWelcome({ services, connection }: AgentSession, proxyServers: ProxyServerAccess[]): void {
  const { config, clock } = services;
  const { nodeId, sessionEpoch, rev, frozen } = connection.session;
  connection.send({
    event: 'welcome',
    data: {
      node_id: nodeId,
      session_epoch: sessionEpoch,
      heartbeat_interval_ms: config.heartbeatIntervalMs,
      usage_segment_ms: config.usageSegmentMs,
      offline_grace_ms: config.offlineGraceMs,
      server_time: clock.now().toISOString(),
      rev,
      frozen,
      proxy_servers: proxyServers,
    },
  });
}
