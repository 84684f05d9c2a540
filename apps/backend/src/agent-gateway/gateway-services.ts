import { Inject, Injectable } from '@nestjs/common';
import { GATEWAY_CONFIG, type GatewayConfig } from '../config/index.js';
import { Clock, Logger } from '../infra/index.js';
import { MeteringService } from '../modules/metering/index.js';
import { NodeHealth, NodeSessions, NodesService } from '../modules/nodes/index.js';
import { AgentRentals } from '../modules/rentals/index.js';
import { TunnelsService } from '../modules/tunnels/index.js';
import { AgentConnections } from './connections.js';
import { GatewayCounters } from './counters.js';
import { EvidenceBuffer } from './evidence-buffer.js';

/** Everything that messages of agents are handed to. */
@Injectable()
export class GatewayServices {
  readonly counters = new GatewayCounters();
  readonly evidence: EvidenceBuffer;

  constructor(
    @Inject(GATEWAY_CONFIG) readonly config: GatewayConfig,
    readonly clock: Clock,
    readonly logger: Logger,
    readonly connections: AgentConnections,
    readonly sessions: NodeSessions,
    readonly nodes: NodesService,
    readonly health: NodeHealth,
    readonly rentals: AgentRentals,
    readonly tunnels: TunnelsService,
    readonly metering: MeteringService,
  ) {
    this.evidence = new EvidenceBuffer(config.heartbeatBridgeMs);
  }
}
