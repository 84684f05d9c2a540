import { Body, Controller, Get, HttpCode, Ip, Patch, Post } from '@nestjs/common';
import {
  Me,
  RefreshRequest,
  SessionResponse,
  SignInRequest,
  SignUpRequest,
  UpdateMeRequest,
  User,
} from '@dcompute/shared-types';
import { CurrentPrincipal, type Principal, Public, Returns, ReturnsNothing } from '../../infra/index.js';
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

  /** Makes an account of the embedded identity and signs in to it. */
  @Post('auth/sign-up')
  @Public()
  @Returns(SessionResponse, 201)
  async signUp(@Body({ schema: SignUpRequest }) body: SignUpRequest, @Ip() ip: string): Promise<SessionResponse> {
    this.limiter.take(`sign-up:${ip}`);
    const session = await this.embedded.signUp({ ...body, name: body.displayName ?? body.email });
    return await this.#respond(session, body);
  }

  @Post('auth/sign-in')
  @HttpCode(200)
  @Public()
  @Returns(SessionResponse)
  async signIn(@Body({ schema: SignInRequest }) body: SignInRequest, @Ip() ip: string): Promise<SessionResponse> {
    this.limiter.take(`sign-in:${ip}:${body.email.toLowerCase()}`);
    return await this.#respond(await this.embedded.signIn(body), {});
  }

  /** A new short-lived token for a live session. */
  @Post('auth/refresh')
  @HttpCode(200)
  @Public()
  @Returns(SessionResponse)
  async refresh(@Body({ schema: RefreshRequest }) body: RefreshRequest): Promise<SessionResponse> {
    return await this.#respond(await this.embedded.resume(body.sessionToken), {});
  }

  /** Ends the session: its tokens are refused from now on. */
  @Post('auth/sign-out')
  @HttpCode(204)
  @ReturnsNothing()
  async signOut(@CurrentPrincipal() principal: Principal): Promise<void> {
    if (principal.sessionId) await this.embedded.signOut(principal.sessionId);
  }

  /** Who asks, and what the credential may do. */
  @Get('me')
  @Returns(Me)
  async me(@CurrentPrincipal() principal: Principal): Promise<Me> {
    return await this.accounts.me(principal);
  }

  @Patch('me')
  @Returns(User)
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
