import { Body, Controller, Get, HttpCode, Ip, Patch, Post } from '@nestjs/common';
import {
  type Me,
  RefreshRequest,
  type SessionResponse,
  SignInRequest,
  SignUpRequest,
  UpdateMeRequest,
  type User,
} from '@dcompute/shared-types';
import type { JSONWebKeySet } from 'jose';
import { CurrentPrincipal, type Principal, Public } from '../../infra/index.js';
import { AccountsService, userView } from './accounts.service.js';
import { EmbeddedIdentity, type EmbeddedSession } from './embedded-identity.js';
import { SignInLimiter } from './sign-in-limiter.js';

@Controller('api/v1')
export class IdentityController {
  constructor(
    private readonly embedded: EmbeddedIdentity,
    private readonly accounts: AccountsService,
    private readonly limiter: SignInLimiter,
  ) {}

  @Post('auth/sign-up')
  @Public()
  async signUp(@Body({ schema: SignUpRequest }) body: SignUpRequest, @Ip() ip: string): Promise<SessionResponse> {
    this.limiter.take(`sign-up:${ip}`);
    const session = await this.embedded.signUp({ ...body, name: body.displayName ?? body.email });
    return await this.#respond(session, body);
  }

  @Post('auth/sign-in')
  @HttpCode(200)
  @Public()
  async signIn(@Body({ schema: SignInRequest }) body: SignInRequest, @Ip() ip: string): Promise<SessionResponse> {
    this.limiter.take(`sign-in:${ip}:${body.email.toLowerCase()}`);
    return await this.#respond(await this.embedded.signIn(body), {});
  }

  /** A new short-lived token for a live session. */
  @Post('auth/refresh')
  @HttpCode(200)
  @Public()
  async refresh(@Body({ schema: RefreshRequest }) body: RefreshRequest): Promise<SessionResponse> {
    return await this.#respond(await this.embedded.resume(body.sessionToken), {});
  }

  @Post('auth/sign-out')
  @HttpCode(204)
  async signOut(@CurrentPrincipal() principal: Principal): Promise<void> {
    if (principal.sessionId) await this.embedded.signOut(principal.sessionId);
  }

  @Get('auth/jwks')
  @Public()
  async jwks(): Promise<JSONWebKeySet> {
    return this.embedded.enabled ? await this.embedded.publicKeys() : { keys: [] };
  }

  @Get('me')
  async me(@CurrentPrincipal() principal: Principal): Promise<Me> {
    return await this.accounts.me(principal);
  }

  @Patch('me')
  async updateMe(
    @CurrentPrincipal() principal: Principal,
    @Body({ schema: UpdateMeRequest }) body: UpdateMeRequest,
  ): Promise<User> {
    return await this.accounts.update(principal, body);
  }

  async #respond(
    session: EmbeddedSession,
    account: { role?: SignUpRequest['role']; displayName?: string | undefined },
  ): Promise<SessionResponse> {
    const person = await this.accounts.ensurePerson({
      clerkId: `local_${session.identityId}`,
      email: session.email,
      displayName: account.displayName,
      role: account.role,
    });
    const { token, expiresAt } = await this.embedded.issueToken(session);
    return {
      token,
      tokenExpiresAt: expiresAt.toISOString(),
      sessionToken: session.sessionToken,
      user: userView(person),
    };
  }
}
