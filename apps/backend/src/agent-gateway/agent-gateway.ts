import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type BeforeApplicationShutdown, Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { CLOSE_CODES, LIMITS } from '@dcompute/shared-types';
import { WebSocketServer } from 'ws';
import { APP_CONFIG, type AppConfig } from '../config/index.js';
import { Bus, repeat } from '../infra/index.js';
import { AgentRefusal } from '../modules/nodes/index.js';
import { serveAgent } from './agent-socket.js';
import { AgentUpgrade } from './agent-upgrade.js';
import { GatewayServices } from './gateway-services.js';
import { GATEWAY_LIMITS } from './limits.js';
import { refuseUnknownAddress, refuseUpgrade } from './refusals.js';

/** Where agents connect. */
const AGENT_PATH = '/agent/v1';

/**
 * The WebSocket edge for agents, a plain `ws` server on the HTTP server's upgrades. It authenticates, parses, keeps limits
 * and order, and hands everything to the modules; what it heard is recorded in batches for all nodes.
 */
@Injectable()
export class AgentGateway implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: LIMITS.agentMessageBytes,
    clientTracking: false,
  });
  readonly #endings: (() => void | Promise<void>)[] = [];

  constructor(
    @Inject(APP_CONFIG) private readonly app: AppConfig,
    private readonly http: HttpAdapterHost,
    private readonly bus: Bus,
    private readonly upgrade: AgentUpgrade,
    private readonly services: GatewayServices,
  ) {}

  onApplicationBootstrap(): void {
    if (this.app.duties.agents) this.attach(this.http.httpAdapter.getHttpServer() as Server);
  }

  /** Begins to take agents on a server's upgrades, and to follow what changes for them. */
  attach(server: Server): void {
    const { config, logger } = this.services;
    const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
      if (pathOf(request) === AGENT_PATH) void this.#admit(request, socket, head);
      else if (server.listenerCount('upgrade') === 1) refuseUnknownAddress(socket);
    };
    server.on('upgrade', onUpgrade);
    this.#endings.push(
      () => void server.off('upgrade', onUpgrade),
      this.bus.subscribe('node.changed', ({ nodeId }) => this.services.connections.ofNode(nodeId)?.sync.look()),
      this.bus.subscribe('node.session_started', (started) => this.#fence(started)),
      this.bus.subscribe('hostkey.revoked', ({ hostKeyId }) => this.#cutOff(hostKeyId)),
      repeat('gateway_poll', config.revPollMs, logger, () => this.#poll()),
      repeat('gateway_flush', config.flushMs, logger, () => this.#flush()),
    );
  }

  async beforeApplicationShutdown(): Promise<void> {
    if (this.#endings.length === 0) return;
    for (const end of this.#endings.splice(0)) await end();
    await this.#closeAll();
    await this.#flush().catch((error: unknown) => this.services.logger.error('gateway.last_flush_failed', error));
  }

  async #admit(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const drop = (): void => void socket.destroy();
    socket.on('error', drop);
    try {
      const hostKeyId = await this.upgrade.admit(request);
      if (socket.destroyed) return;
      // Shut down meanwhile.
      if (this.#endings.length === 0) return drop();
      socket.off('error', drop);
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) =>
        serveAgent(this.services, webSocket, hostKeyId),
      );
    } catch (error) {
      if (error instanceof AgentRefusal) return refuseUpgrade(socket, error);
      this.services.logger.error('gateway.upgrade_failed', error);
      socket.destroy();
    }
  }

  /** R11: what every connected node's row says, in one statement; and who has gone silent. */
  async #poll(): Promise<void> {
    const { connections, sessions, config, clock } = this.services;
    const silentSinceMs = clock.nowMs() - config.unreachableMs;
    for (const connection of connections.all()) {
      if (connection.lastHeardAtMs < silentSinceMs) connection.socket.terminate();
    }
    const live = connections.live();
    for (const pulse of await sessions.pulses(live.map(({ connection }) => connection.session))) {
      // One node that fails must not keep the others from what they have to know.
      connections
        .ofNode(pulse.nodeId)
        ?.sync.takePulse(pulse)
        .catch((error: unknown) => this.services.logger.error('gateway.pulse_failed', error, { nodeId: pulse.nodeId }));
    }
  }

  /** Records what was heard, and tells the sessions which segments are committed. */
  async #flush(): Promise<void> {
    const { evidence, metering, health, connections } = this.services;
    const batch = evidence.take();
    const settled = await metering.recordBatch(batch);
    await health.recordSeen(batch.seen);
    evidence.settle(batch);
    for (const [nodeId, segmentIds] of settled) connections.ofNode(nodeId)?.settle(segmentIds);
  }

  #fence({ nodeId, sessionEpoch }: { nodeId: string; sessionEpoch: number }): void {
    const session = this.services.connections.ofNode(nodeId);
    if (!session || session.connection.session.sessionEpoch >= sessionEpoch) return;
    session.connection.end('agent.fenced', 'A newer session of this node took over.');
  }

  #cutOff(hostKeyId: string): void {
    for (const connection of this.services.connections.ofHostKey(hostKeyId)) {
      connection.end('agent.host_key_revoked', 'This host key was revoked. Make a new one in your account.');
    }
  }

  async #closeAll(): Promise<void> {
    const closed = [...this.services.connections.all()].map(({ socket }) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      socket.once('close', () => resolve());
      socket.close(CLOSE_CODES.goingAway, 'the platform restarts');
      return { socket, promise };
    });
    const cut = setTimeout(() => closed.forEach(({ socket }) => socket.terminate()), GATEWAY_LIMITS.closeTimeoutMs);
    await Promise.all(closed.map(({ promise }) => promise));
    clearTimeout(cut);
  }
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '').split('?', 1)[0] ?? '';
}
