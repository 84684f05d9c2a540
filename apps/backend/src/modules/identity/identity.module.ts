import { Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { AccountsService } from './accounts.service.js';
import { AuthGuard } from './auth.guard.js';
import { EmbeddedIdentity } from './embedded-identity.js';
import { IdentityController } from './identity.controller.js';
import { JwksController } from './jwks.controller.js';
import { OperatorBootstrap } from './operator.bootstrap.js';
import { PrincipalResolver } from './principal.resolver.js';
import { SignInLimiter } from './sign-in-limiter.js';
import { TokenVerifier } from './token-verifier.js';

@Module({
  controllers: [IdentityController, JwksController],
  providers: [
    AccountsService,
    EmbeddedIdentity,
    TokenVerifier,
    PrincipalResolver,
    SignInLimiter,
    OperatorBootstrap,
    { provide: APP_GUARD, useClass: AuthGuard },
  ],
  exports: [AccountsService],
})
export class IdentityModule {}
