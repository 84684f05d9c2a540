import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiKeyPage, CreateApiKeyRequest, CreatedApiKey, PageQuery } from '@dcompute/shared-types';
import { z } from 'zod';
import { CurrentPrincipal, type Principal, RequireScope, Returns, ReturnsNothing } from '../../infra/index.js';
import { ApiKeysService } from './api-keys.service.js';

@Controller('api/v1/api-keys')
export class ApiKeysController {
  constructor(private readonly keys: ApiKeysService) {}

  /** Makes a key. Its secret is in this answer and nowhere else. */
  @Post()
  @RequireScope('keys:write')
  @Returns(CreatedApiKey, 201)
  async create(
    @CurrentPrincipal() principal: Principal,
    @Headers('idempotency-key') key: string | undefined,
    @Body({ schema: CreateApiKeyRequest }) request: CreateApiKeyRequest,
  ): Promise<CreatedApiKey> {
    return await this.keys.create(principal, key, request);
  }

  @Get()
  @Returns(ApiKeyPage)
  async list(
    @CurrentPrincipal() principal: Principal,
    @Query({ schema: PageQuery }) page: PageQuery,
  ): Promise<ApiKeyPage> {
    return await this.keys.list(principal, page);
  }

  /** Ends a key at once. It stays in the list. */
  @Delete(':id')
  @HttpCode(204)
  @RequireScope('keys:write')
  @ReturnsNothing()
  async revoke(@CurrentPrincipal() principal: Principal, @Param('id', { schema: z.uuid() }) id: string): Promise<void> {
    await this.keys.revoke(principal, id);
  }
}
