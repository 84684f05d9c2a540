import { Body, Controller, Get, HttpCode, Post, Query, Res, UseGuards } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { GuardClosedReport, GuardProbeReport, GuardSync, GuardSyncQuery } from '@dcompute/shared-types';
import type { FastifyReply } from 'fastify';
import { Public, Returns, ReturnsNothing } from '../../infra/index.js';
import { MeteringService } from '../metering/index.js';
import { CallingProxyServer, GuardCredentialGuard } from './guard-credential.guard.js';
import { GuardSyncService } from './guard-sync.service.js';
import { TunnelsService } from './tunnels.service.js';

/** What guards ask and report. Public for the users' guard only: `GuardCredentialGuard` decides. */
@Controller('internal/guard/v1')
@Public()
@UseGuards(GuardCredentialGuard)
@ApiExcludeController()
export class GuardController {
  constructor(
    private readonly changes: GuardSyncService,
    private readonly metering: MeteringService,
    private readonly tunnels: TunnelsService,
  ) {}

  /** Leases and nodes that changed after a revision; waits for a change when asked to. */
  @Get('leases')
  @Returns(GuardSync)
  async sync(
    @CallingProxyServer() proxyServerId: string,
    @Query({ schema: GuardSyncQuery }) query: GuardSyncQuery,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<GuardSync> {
    const gone = new AbortController();
    reply.raw.once('close', () => gone.abort());
    return await this.changes.sync(proxyServerId, query, gone.signal);
  }

  /** Probes of SSH through public ports: the platform's own proof that an instance can be reached. */
  @Post('probes')
  @HttpCode(204)
  @ReturnsNothing()
  async recordProbes(
    @CallingProxyServer() proxyServerId: string,
    @Body({ schema: GuardProbeReport }) { probes }: GuardProbeReport,
  ): Promise<void> {
    await this.metering.recordProbes(proxyServerId, probes);
  }

  /** Revoked leases whose ports frps shows as closed. */
  @Post('closed')
  @HttpCode(204)
  @ReturnsNothing()
  async recordClosed(
    @CallingProxyServer() proxyServerId: string,
    @Body({ schema: GuardClosedReport }) { leaseIds }: GuardClosedReport,
  ): Promise<void> {
    await this.tunnels.recordClosed(proxyServerId, leaseIds);
  }
}
