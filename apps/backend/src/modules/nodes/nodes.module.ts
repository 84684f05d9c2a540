import { Module } from '@nestjs/common';
import { IdempotencyModule } from '../idempotency/index.js';
import { MeteringModule } from '../metering/index.js';
import { OffersModule } from '../offers/index.js';
import { HostKeysController } from './host-keys.controller.js';
import { HostKeysService } from './host-keys.service.js';
import { NodeHealth } from './node-health.service.js';
import { NodeSessions } from './node-sessions.service.js';
import { NodesController } from './nodes.controller.js';
import { NodesService } from './nodes.service.js';

/** The machines of hosts: who owns them, what they are made of, and how well they are. */
@Module({
  imports: [IdempotencyModule, MeteringModule, OffersModule],
  controllers: [NodesController, HostKeysController],
  providers: [NodesService, NodeSessions, NodeHealth, HostKeysService],
  exports: [NodesService, NodeSessions, NodeHealth, HostKeysService],
})
export class NodesModule {}
