import { Injectable } from '@nestjs/common';
import { Scope } from '@dcompute/shared-types';
import { AppError, Database, type Principal, hashBearerSecret } from '../../infra/index.js';
import { type AccountRow, AccountsService } from './accounts.service.js';
import { EmbeddedIdentity } from './embedded-identity.js';
import { TokenVerifier, type VerifiedToken } from './token-verifier.js';

/** lastUsedAt of a key is written at most this often. */
const LAST_USED_STEP = '1 minute';

export interface Credentials {
  readonly authorization: string | undefined;
  /** The team to act for, from `X-Account-Id`. */
  readonly actFor: string | undefined;
  readonly ip: string | null;
}

interface ApiKeyRow {
  id: string;
  userId: string;
  createdById: string;
  scopes: Scope[];
  revokedAt: Date | null;
  expired: boolean;
}

/** Turns what a request carries into a Principal: a session token (Clerk or embedded) or an API key. */
@Injectable()
export class PrincipalResolver {
  constructor(
    private readonly db: Database,
    private readonly accounts: AccountsService,
    private readonly tokens: TokenVerifier,
    private readonly embedded: EmbeddedIdentity,
  ) {}

  async resolve(credentials: Credentials): Promise<Principal> {
    const bearer = /^Bearer (\S+)$/i.exec(credentials.authorization ?? '')?.[1];
    if (!bearer) {
      throw new AppError('auth.required', {
        detail: 'Send a session token or an API key: "Authorization: Bearer <token>".',
      });
    }
    return bearer.startsWith('dck_')
      ? await this.#byApiKey(bearer, credentials)
      : await this.#byToken(bearer, credentials);
  }

  async #byToken(token: string, { actFor, ip }: Credentials): Promise<Principal> {
    const verified = await this.tokens.verify(token);
    const sessionId = typeof verified.claims['sid'] === 'string' ? verified.claims['sid'] : null;
    if (verified.provider === 'embedded' && !(sessionId && (await this.embedded.isLive(sessionId)))) {
      throw new AppError('auth.required', { detail: 'The session has ended. Sign in again.' });
    }
    const person = await this.accounts.ensurePerson(personClaim(verified));
    const account =
      (await this.#teamOf(verified, person)) ?? (actFor ? await this.accounts.teamOfMember(person.id, actFor) : person);
    refuseDisabled(person);
    refuseDisabled(account);
    return {
      accountId: account.id,
      personId: person.id,
      role: account.role,
      isOperator: person.isOperator,
      scopes: Scope.options,
      via: 'session',
      apiKeyId: null,
      sessionId,
      ip,
    };
  }

  /** Clerk's active organisation (claim `o` of version 2, `org_id` before) makes the team the acting account. */
  async #teamOf({ claims, provider }: VerifiedToken, person: AccountRow): Promise<AccountRow | null> {
    if (provider !== 'clerk') return null;
    const active = claims['o'];
    const [id, role] =
      typeof active === 'object' && active !== null && 'id' in active
        ? [active.id, 'rol' in active ? active.rol : '']
        : [claims['org_id'], claims['org_role']];
    if (typeof id !== 'string') return null;
    const claim = { clerkId: id, email: `${id.toLowerCase()}@team.invalid` };
    return await this.accounts.ensureTeam(claim, {
      personId: person.id,
      role: String(role).endsWith('admin') ? 'admin' : 'member',
    });
  }

  async #byApiKey(secret: string, { ip }: Credentials): Promise<Principal> {
    const [key] = await this.db.query<ApiKeyRow>(
      `SELECT "id", "userId", "createdById", "scopes", "revokedAt", coalesce("expiresAt" <= now(), false) AS "expired"
         FROM "ApiKey" WHERE "secretHash" = $1`,
      [hashBearerSecret(secret)],
    );
    if (!key) throw new AppError('auth.required', { detail: 'This API key does not exist.' });
    if (key.revokedAt || key.expired) {
      throw new AppError('auth.key_revoked', { detail: 'This API key was revoked or has expired. Make a new one.' });
    }
    const [account, person] = await Promise.all([
      this.accounts.findById(this.db, key.userId),
      this.accounts.findById(this.db, key.createdById),
    ]);
    if (!account || !person)
      throw new AppError('auth.required', { detail: 'The account of this API key does not exist.' });
    refuseDisabled(account);
    refuseDisabled(person);
    // A key that a person made for a team ends with the membership.
    if (account.id !== person.id) await this.accounts.teamOfMember(person.id, account.id);
    await this.db.query(
      `UPDATE "ApiKey" SET "lastUsedAt" = now() WHERE "id" = $1 AND coalesce("lastUsedAt" < now() - $2::interval, true)`,
      [key.id, LAST_USED_STEP],
    );
    return {
      accountId: account.id,
      personId: person.id,
      role: account.role,
      isOperator: person.isOperator,
      scopes: key.scopes,
      via: 'api_key',
      apiKeyId: key.id,
      sessionId: null,
      ip,
    };
  }
}

function personClaim({ claims }: VerifiedToken) {
  const email = typeof claims['email'] === 'string' ? claims['email'] : `${claims.sub.toLowerCase()}@clerk.invalid`;
  return { clerkId: claims.sub, email, displayName: typeof claims['name'] === 'string' ? claims['name'] : undefined };
}

function refuseDisabled(account: AccountRow): void {
  if (account.disabledAt)
    throw new AppError('auth.forbidden', { detail: 'This account is disabled. Ask the operator.' });
}
