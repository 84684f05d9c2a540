import { Controller, Get } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { JSONWebKeySet } from 'jose';
import { Public } from '../../infra/index.js';
import { EmbeddedIdentity } from './embedded-identity.js';

@Controller('.well-known')
@ApiExcludeController()
export class JwksController {
  constructor(private readonly embedded: EmbeddedIdentity) {}

  /** The public keys that verify the embedded identity's tokens; none where Clerk signs people in. */
  @Get('jwks.json')
  @Public()
  async keys(): Promise<JSONWebKeySet> {
    return this.embedded.enabled ? await this.embedded.publicKeys() : { keys: [] };
  }
}
