import { Inject, Injectable } from '@nestjs/common';
import { betterAuth } from 'better-auth';
import { jwt } from 'better-auth/plugins';
import { type JSONWebKeySet } from 'jose';
import { APP_CONFIG, IDENTITY_CONFIG, type AppConfig, type IdentityConfig } from '../../config/index.js';
import { AppError, Clock, Database } from '../../infra/index.js';

/** Life of an access token. Short: a session is also looked up at each request, so sign-out counts at once. */
const TOKEN_SECONDS = 300;
const SESSION_SECONDS = 30 * 24 * 3600;
const KEY_BITS = 2048;

export interface EmbeddedSession {
  readonly sessionId: string;
  readonly sessionToken: string;
  readonly identityId: string;
  readonly email: string;
  readonly name: string;
}

export interface IssuedToken {
  readonly token: string;
  readonly expiresAt: Date;
}

/** The local identity provider: better-auth with e-mail and password on our PostgreSQL, tokens in Clerk's claim shape. */
@Injectable()
export class EmbeddedIdentity {
  readonly #auth: ReturnType<typeof buildAuth> | null;

  constructor(
    private readonly db: Database,
    private readonly clock: Clock,
    @Inject(APP_CONFIG) private readonly app: AppConfig,
    @Inject(IDENTITY_CONFIG) identity: IdentityConfig,
  ) {
    this.#auth = identity.embeddedSecret === null ? null : buildAuth(db, app, identity.embeddedSecret);
  }

  /** What stands in `iss` of its tokens. */
  get issuer(): string {
    return this.app.publicUrl;
  }

  get enabled(): boolean {
    return this.#auth !== null;
  }

  /** Makes a user and a session. Throws auth.email_taken. */
  async signUp(input: { email: string; password: string; name: string }): Promise<EmbeddedSession> {
    const email = input.email.toLowerCase();
    try {
      const { token } = await this.#require().api.signUpEmail({ body: { ...input, email } });
      if (!token)
        throw new AppError('auth.invalid_credentials', { detail: 'The account was made, but needs to be confirmed.' });
      return await this.#session(token);
    } catch (error) {
      if (isStatus(error, 'UNPROCESSABLE_ENTITY')) {
        throw new AppError('auth.email_taken', {
          detail: 'An account with this e-mail address exists. Sign in instead.',
          cause: error,
        });
      }
      throw error;
    }
  }

  /** Makes a session. Unknown address and wrong password look alike. */
  async signIn(input: { email: string; password: string }): Promise<EmbeddedSession> {
    try {
      const { token } = await this.#require().api.signInEmail({ body: { ...input, email: input.email.toLowerCase() } });
      return await this.#session(token);
    } catch (error) {
      if (isStatus(error, 'UNAUTHORIZED')) {
        throw new AppError('auth.invalid_credentials', {
          detail: 'E-mail address or password is wrong.',
          cause: error,
        });
      }
      throw error;
    }
  }

  /** The session that a session token stands for. */
  async resume(sessionToken: string): Promise<EmbeddedSession> {
    return await this.#session(sessionToken);
  }

  /** Ends a session: its tokens are refused from now on. */
  async signOut(sessionId: string): Promise<void> {
    await this.db.query('DELETE FROM "identity_session" WHERE "id" = $1', [sessionId]);
  }

  /** True while a session has neither ended nor run out. */
  async isLive(sessionId: string): Promise<boolean> {
    const rows = await this.db.query('SELECT 1 FROM "identity_session" WHERE "id" = $1 AND "expiresAt" > now()', [
      sessionId,
    ]);
    return rows.length > 0;
  }

  async issueToken(session: EmbeddedSession): Promise<IssuedToken> {
    const issuedAt = Math.floor(this.clock.nowMs() / 1000);
    const { token } = await this.#require().api.signJWT({
      body: {
        payload: {
          sub: `local_${session.identityId}`,
          sid: session.sessionId,
          azp: this.app.publicUrl,
          iss: this.issuer,
          email: session.email,
          name: session.name,
          iat: issuedAt,
          nbf: issuedAt - 5,
          exp: issuedAt + TOKEN_SECONDS,
        },
      },
    });
    return { token, expiresAt: new Date((issuedAt + TOKEN_SECONDS) * 1000) };
  }

  /** The public keys that verify its tokens. */
  async publicKeys(): Promise<JSONWebKeySet> {
    return await this.#require().api.getJwks();
  }

  async #session(token: string): Promise<EmbeddedSession> {
    const [row] = await this.db.query<{ id: string; userId: string; email: string; name: string }>(
      `SELECT s."id", s."userId", u."email", u."name" FROM "identity_session" s JOIN "identity_user" u ON u."id" = s."userId"
        WHERE s."token" = $1 AND s."expiresAt" > now()`,
      [token],
    );
    if (!row) throw new AppError('auth.invalid_credentials', { detail: 'The session has ended. Sign in again.' });
    return { sessionId: row.id, sessionToken: token, identityId: row.userId, email: row.email, name: row.name };
  }

  #require(): ReturnType<typeof buildAuth> {
    if (this.#auth) return this.#auth;
    throw new AppError('auth.forbidden', {
      detail: 'This platform signs in through Clerk; the embedded identity is off.',
    });
  }
}

function buildAuth(db: Database, app: AppConfig, secret: string) {
  return betterAuth({
    database: db.pool,
    secret,
    baseURL: app.publicUrl,
    telemetry: { enabled: false },
    logger: { disabled: true },
    emailAndPassword: { enabled: true, minPasswordLength: 10, maxPasswordLength: 200, autoSignIn: true },
    session: { modelName: 'identity_session', expiresIn: SESSION_SECONDS },
    user: { modelName: 'identity_user' },
    account: { modelName: 'identity_account' },
    verification: { modelName: 'identity_verification' },
    plugins: [
      jwt({
        jwks: { keyPairConfig: { alg: 'RS256', modulusLength: KEY_BITS } },
        schema: { jwks: { modelName: 'identity_jwks' } },
      }),
    ],
  });
}

/** better-auth's APIError carries the HTTP status by name. */
function isStatus(error: unknown, status: string): boolean {
  return error instanceof Error && 'status' in error && error.status === status;
}
