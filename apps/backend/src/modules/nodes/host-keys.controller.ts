import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Post, Query } from '@nestjs/common';
import { CreateHostKeyRequest, CreatedHostKey, HostKeyPage, PageQuery } from '@dcompute/shared-types';
import { z } from 'zod';
import {
  CurrentPrincipal,
  type Principal,
  RequireRole,
  RequireScope,
  Returns,
  ReturnsNothing,
} from '../../infra/index.js';
import { HostKeysService } from './host-keys.service.js';

@Controller('api/v1/host-keys')
export class HostKeysController {
  constructor(private readonly keys: HostKeysService) {}

  @Get()
  @Returns(HostKeyPage)
  async list(
    @CurrentPrincipal() principal: Principal,
    @Query({ schema: PageQuery }) page: PageQuery,
  ): Promise<HostKeyPage> {
    return await this.keys.list(principal, page);
  }

  /** The secret is shown here and never again: it is the agent's `HOST_API_KEY`. */
  @Post()
  @RequireScope('keys:write')
  @RequireRole('LEASE')
  @Returns(CreatedHostKey, 201)
  async create(
    @CurrentPrincipal() principal: Principal,
    @Body({ schema: CreateHostKeyRequest }) body: CreateHostKeyRequest,
    @Headers('idempotency-key') key: string | undefined,
  ): Promise<CreatedHostKey> {
    return await this.keys.create(principal, body, key);
  }

  /** Open to every role: a key must be revocable whatever its account has become. */
  @Delete(':id')
  @HttpCode(204)
  @RequireScope('keys:write')
  @ReturnsNothing()
  async revoke(
    @CurrentPrincipal() principal: Principal,
    @Param('id', { schema: z.uuid() }) hostKeyId: string,
  ): Promise<void> {
    await this.keys.revoke(principal, hostKeyId);
  }
}
