import { Body, Controller, Delete, Get, Headers, HttpCode, Param, Post, Query } from '@nestjs/common';
import { CreateSshKeyRequest, PageQuery, SshKey, SshKeyPage } from '@dcompute/shared-types';
import { z } from 'zod';
import { CurrentPrincipal, type Principal, RequireScope, Returns, ReturnsNothing } from '../../infra/index.js';
import { SshKeysService } from './ssh-keys.service.js';

@Controller('api/v1/ssh-keys')
export class SshKeysController {
  constructor(private readonly keys: SshKeysService) {}

  /** Registers a public key: rentals that name no key are opened by all keys of the account. */
  @Post()
  @RequireScope('keys:write')
  @Returns(SshKey, 201)
  async create(
    @CurrentPrincipal() principal: Principal,
    @Headers('idempotency-key') key: string | undefined,
    @Body({ schema: CreateSshKeyRequest }) request: CreateSshKeyRequest,
  ): Promise<SshKey> {
    return await this.keys.create(principal, key, request);
  }

  @Get()
  @Returns(SshKeyPage)
  async list(
    @CurrentPrincipal() principal: Principal,
    @Query({ schema: PageQuery }) page: PageQuery,
  ): Promise<SshKeyPage> {
    return await this.keys.list(principal, page);
  }

  /** Forgets a key. Rentals that were made with it keep it. */
  @Delete(':id')
  @HttpCode(204)
  @RequireScope('keys:write')
  @ReturnsNothing()
  async remove(@CurrentPrincipal() principal: Principal, @Param('id', { schema: z.uuid() }) id: string): Promise<void> {
    await this.keys.remove(principal, id);
  }
}
