import { Inject, Injectable } from '@nestjs/common';
import { type JWTPayload, createLocalJWKSet, decodeJwt, errors, importSPKI, jwtVerify } from 'jose';
import { APP_CONFIG, IDENTITY_CONFIG, type AppConfig, type IdentityConfig } from '../../config/index.js';
import { AppError } from '../../infra/index.js';
import { EmbeddedIdentity } from './embedded-identity.js';

const CLOCK_TOLERANCE_SECONDS = 10;
const MAX_TOKEN_LENGTH = 8192;

/** A token whose signature, times, issuer and authorized party are right. */
export interface VerifiedToken {
  readonly claims: JWTPayload & { sub: string };
  readonly provider: 'clerk' | 'embedded';
}

/** Verifies session tokens without network: one rule, two sources of keys (Clerk's PEM, the embedded identity's own). */
@Injectable()
export class TokenVerifier {
  #embeddedKeys: ReturnType<typeof createLocalJWKSet> | undefined;

  constructor(
    private readonly embedded: EmbeddedIdentity,
    @Inject(APP_CONFIG) private readonly app: AppConfig,
    @Inject(IDENTITY_CONFIG) private readonly config: IdentityConfig,
  ) {}

  async verify(token: string): Promise<VerifiedToken> {
    try {
      if (token.length > MAX_TOKEN_LENGTH) throw invalid('it is too long');
      return this.config.clerk ? await this.#verifyClerk(token) : await this.#verifyEmbedded(token);
    } catch (error) {
      if (error instanceof AppError) throw error;
      throw invalid(error instanceof errors.JWTExpired ? 'it has expired' : 'its signature or claims are wrong', error);
    }
  }

  async #verifyClerk(token: string): Promise<VerifiedToken> {
    const { clerk } = this.config;
    if (!clerk) throw invalid('Clerk is not configured');
    const key = await importSPKI(clerk.jwtKey, 'RS256');
    const { payload } = await jwtVerify(token, key, {
      algorithms: ['RS256'],
      issuer: clerk.issuer,
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
    });
    return { claims: checked(payload, clerk.authorizedParties), provider: 'clerk' };
  }

  async #verifyEmbedded(token: string): Promise<VerifiedToken> {
    if (decodeJwt(token).iss !== this.embedded.issuer) throw invalid('another issuer made it');
    const options = { algorithms: ['RS256'], issuer: this.embedded.issuer, clockTolerance: CLOCK_TOLERANCE_SECONDS };
    this.#embeddedKeys ??= createLocalJWKSet(await this.embedded.publicKeys());
    const result = await jwtVerify(token, this.#embeddedKeys, options).catch(async (error: unknown) => {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      // A key made after the set was read: read it once more.
      this.#embeddedKeys = createLocalJWKSet(await this.embedded.publicKeys());
      return await jwtVerify(token, this.#embeddedKeys, options);
    });
    return { claims: checked(result.payload, [this.app.publicUrl]), provider: 'embedded' };
  }
}

function checked(payload: JWTPayload, authorizedParties: readonly string[]): JWTPayload & { sub: string } {
  const { sub, azp } = payload;
  if (!sub) throw invalid('it names nobody');
  if (typeof azp !== 'string' || !authorizedParties.includes(azp)) throw invalid('it was made for another application');
  return { ...payload, sub };
}

function invalid(why: string, cause?: unknown): AppError {
  return new AppError('auth.required', { detail: `The token is not valid: ${why}. Sign in again.`, cause });
}
