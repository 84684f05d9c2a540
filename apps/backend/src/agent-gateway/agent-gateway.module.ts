import { Module } from '@nestjs/common';
import { MeteringModule } from '../modules/metering/index.js';
import { NodesModule } from '../modules/nodes/index.js';
import { RentalsModule } from '../modules/rentals/index.js';
import { TunnelsModule } from '../modules/tunnels/index.js';
import { AgentGateway } from './agent-gateway.js';
import { AgentUpgrade } from './agent-upgrade.js';
import { AgentConnections } from './connections.js';
import { GatewayServices } from './gateway-services.js';

/** Where the agents of nodes connect. */
@Module({
  imports: [MeteringModule, NodesModule, RentalsModule, TunnelsModule],
  providers: [AgentGateway, AgentUpgrade, AgentConnections, GatewayServices],
})
export class AgentGatewayModule {}
