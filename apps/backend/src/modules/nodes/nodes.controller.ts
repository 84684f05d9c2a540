import { Body, Controller, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { DrainNodeRequest, HostNode, HostNodePage, PageQuery, UpdateNodeRequest } from '@dcompute/shared-types';
import { z } from 'zod';
import { CurrentPrincipal, type Principal, RequireRole, RequireScope, Returns } from '../../infra/index.js';
import { NodesService } from './nodes.service.js';

const id = z.uuid();

@Controller('api/v1/nodes')
export class NodesController {
  constructor(private readonly nodes: NodesService) {}

  @Get()
  @Returns(HostNodePage)
  async list(
    @CurrentPrincipal() principal: Principal,
    @Query({ schema: PageQuery }) page: PageQuery,
  ): Promise<HostNodePage> {
    return await this.nodes.list(principal, page);
  }

  @Get(':id')
  @Returns(HostNode)
  async get(@CurrentPrincipal() principal: Principal, @Param('id', { schema: id }) nodeId: string): Promise<HostNode> {
    return await this.nodes.get(principal, nodeId);
  }

  @Patch(':id')
  @RequireScope('nodes:write')
  @RequireRole('LEASE')
  @Returns(HostNode)
  async update(
    @CurrentPrincipal() principal: Principal,
    @Param('id', { schema: id }) nodeId: string,
    @Body({ schema: UpdateNodeRequest }) body: UpdateNodeRequest,
  ): Promise<HostNode> {
    return await this.nodes.update(principal, nodeId, body);
  }

  /** Lets nothing new onto the node, or lets it again; what runs there goes on. */
  @Post(':id/drain')
  @HttpCode(200)
  @RequireScope('nodes:write')
  @RequireRole('LEASE')
  @Returns(HostNode)
  async drain(
    @CurrentPrincipal() principal: Principal,
    @Param('id', { schema: id }) nodeId: string,
    @Body({ schema: DrainNodeRequest }) body: DrainNodeRequest,
  ): Promise<HostNode> {
    return await this.nodes.drain(principal, nodeId, body.mode);
  }

  /** Operators only: what froze the node was looked at, and it may stop and remove instances again. */
  @Post(':id/confirm')
  @HttpCode(200)
  @RequireScope('operator')
  @Returns(HostNode)
  async confirm(
    @CurrentPrincipal() principal: Principal,
    @Param('id', { schema: id }) nodeId: string,
  ): Promise<HostNode> {
    return await this.nodes.confirm(principal, nodeId);
  }
}
