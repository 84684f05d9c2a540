import { Module } from '@nestjs/common';
import { MeteringModule } from '../metering/index.js';
import { GuardController } from './guard.controller.js';
import { GuardCredentialGuard } from './guard-credential.guard.js';
import { GuardSyncService } from './guard-sync.service.js';
import { NodeTokens } from './node-tokens.js';
import { ProxyServerSeeder } from './proxy-server.seeder.js';
import { TunnelsService } from './tunnels.service.js';

@Module({
  imports: [MeteringModule],
  controllers: [GuardController],
  providers: [TunnelsService, NodeTokens, GuardSyncService, GuardCredentialGuard, ProxyServerSeeder],
  exports: [TunnelsService],
})
export class TunnelsModule {}
