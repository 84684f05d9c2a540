import { Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { IdempotencyModule } from '../idempotency/index.js';
import { AccountsService } from './accounts.service.js';
import { AuthGuard } from './auth.guard.js';
import { EmbeddedIdentity } from './embedded-identity.js';
import { IdentityController } from './identity.controller.js';
import { JwksController } from './jwks.controller.js';
import { OperatorBootstrap } from './operator.bootstrap.js';
import { PrincipalResolver } from './principal.resolver.js';
import { SignInLimiter } from './sign-in-limiter.js';
import { TeamsController } from './teams.controller.js';
import { TeamsService } from './teams.service.js';
import { TokenVerifier } from './token-verifier.js';

@Module({
  imports: [IdempotencyModule],
  controllers: [IdentityController, JwksController, TeamsController],
  providers: [
    AccountsService,
    EmbeddedIdentity,
    TokenVerifier,
    PrincipalResolver,
    SignInLimiter,
    TeamsService,
    OperatorBootstrap,
    { provide: APP_GUARD, useClass: AuthGuard },
  ],
  exports: [AccountsService],
})
export class IdentityModule {}
