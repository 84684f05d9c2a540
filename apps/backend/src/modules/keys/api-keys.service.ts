import { Injectable } from '@nestjs/common';
import {
  type ApiKey,
  type ApiKeyPage,
  type CreateApiKeyRequest,
  type CreatedApiKey,
  type PageQuery,
  Scope,
} from '@dcompute/shared-types';
import {
  AppError,
  Audit,
  Clock,
  Database,
  Prisma,
  type Principal,
  type Tx,
  assertScope,
  newBearerSecret,
  notFound,
} from '../../infra/index.js';
import { IdempotencyService } from '../idempotency/index.js';
import { cursorAfter, pageArguments } from './key-page.js';

/** Keys that are in force, for one account. */
const MAX_KEYS = 200;

interface ApiKeyRow {
  readonly id: string;
  readonly name: string;
  readonly prefix: string;
  readonly scopes: string[];
  readonly lastUsedAt: Date | null;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
  readonly createdAt: Date;
}

/** API keys: scoped, revocable, stored as a hash, never above what their maker may do. */
@Injectable()
export class ApiKeysService {
  constructor(
    private readonly db: Database,
    private readonly prisma: Prisma,
    private readonly idempotency: IdempotencyService,
    private readonly audit: Audit,
    private readonly clock: Clock,
  ) {}

  /** Throws auth.scope_missing or auth.forbidden for a scope that the maker lacks, quota.exceeded, request.invalid. */
  async create(principal: Principal, key: string | undefined, request: CreateApiKeyRequest): Promise<CreatedApiKey> {
    assertScope(principal, 'keys:write');
    const scopes = [...new Set(request.scopes)].toSorted();
    refuseHigherScopes(principal, scopes);
    const scope = { accountId: principal.accountId, route: 'POST /api/v1/api-keys', key, body: request, secret: true };
    return await this.idempotency.run(scope, async (tx) => {
      await refuseTooMany(tx, principal.accountId);
      const expiresAt = await this.#expiry(tx, principal, request.expiresAt);
      return await this.#insert(tx, principal, { name: request.name, scopes, expiresAt });
    });
  }

  async list(principal: Principal, page: PageQuery): Promise<ApiKeyPage> {
    const rows = await this.prisma.client.apiKey.findMany({
      ...pageArguments(principal.accountId, page),
      omit: { secretHash: true },
    });
    return { items: rows.map(toApiKey), nextCursor: cursorAfter(rows, page) };
  }

  /** Idempotent. Throws resource.not_found. */
  async revoke(principal: Principal, id: string): Promise<void> {
    assertScope(principal, 'keys:write');
    await this.db.transaction(async (tx) => {
      const [row] = await tx.query<{ revokedAt: Date | null }>(
        'SELECT "revokedAt" FROM "ApiKey" WHERE "id" = $1 AND "userId" = $2 FOR UPDATE',
        [id, principal.accountId],
      );
      if (!row) throw notFound('API key');
      if (row.revokedAt) return;
      await tx.query('UPDATE "ApiKey" SET "revokedAt" = $2 WHERE "id" = $1', [id, this.clock.now()]);
      await this.#record(tx, principal, 'api_key.revoke', id, {});
    });
  }

  /** A key that a key makes ends with its maker at the latest. */
  async #expiry(tx: Tx, principal: Principal, wanted: string | undefined): Promise<Date | null> {
    const expiresAt = wanted === undefined ? null : new Date(wanted);
    if (expiresAt && expiresAt.getTime() <= this.clock.nowMs()) throw invalidExpiry('must lie in the future');
    const [maker] = await tx.query<{ expiresAt: Date | null }>('SELECT "expiresAt" FROM "ApiKey" WHERE "id" = $1', [
      principal.apiKeyId,
    ]);
    const limit = maker?.expiresAt ?? null;
    if (limit && expiresAt && expiresAt > limit)
      throw invalidExpiry(`must not be after ${limit.toISOString()}, when the key that you use expires`);
    return expiresAt ?? limit;
  }

  async #insert(
    tx: Tx,
    principal: Principal,
    key: { name: string; scopes: Scope[]; expiresAt: Date | null },
  ): Promise<CreatedApiKey> {
    const { secret, prefix, hash } = newBearerSecret('dck_');
    const [row] = await tx.query<ApiKeyRow>(
      `INSERT INTO "ApiKey" ("userId", "createdById", "name", "prefix", "secretHash", "scopes", "expiresAt")
       VALUES ($1, $2, $3, $4, $5, $6, $7)
       RETURNING "id", "name", "prefix", "scopes", "lastUsedAt", "expiresAt", "revokedAt", "createdAt"`,
      [principal.accountId, principal.personId, key.name, prefix, hash, key.scopes, key.expiresAt],
    );
    if (!row) throw new Error('the insert of an API key returned no row');
    await this.#record(tx, principal, 'api_key.create', row.id, { name: row.name, scopes: row.scopes });
    return { ...toApiKey(row), secret };
  }

  async #record(
    tx: Tx,
    principal: Principal,
    action: string,
    id: string,
    data: Record<string, unknown>,
  ): Promise<void> {
    await this.audit.write(tx, {
      actorId: principal.personId,
      accountId: principal.accountId,
      action,
      subjectType: 'ApiKey',
      subjectId: id,
      data,
      ip: principal.ip,
    });
  }
}

function refuseHigherScopes(principal: Principal, scopes: readonly Scope[]): void {
  if (scopes.includes('operator') && !principal.isOperator) {
    throw new AppError('auth.forbidden', { detail: 'Only an operator can make a key with the scope "operator".' });
  }
  const missing = scopes.filter((scope) => !principal.scopes.includes(scope));
  if (missing.length === 0) return;
  throw new AppError('auth.scope_missing', {
    detail: `A key cannot make a key that may do more than itself: it lacks ${missing.join(', ')}.`,
  });
}

async function refuseTooMany(tx: Tx, accountId: string): Promise<void> {
  const [row] = await tx.query<{ count: bigint }>(
    `SELECT count(*) FROM "ApiKey"
      WHERE "userId" = $1 AND "revokedAt" IS NULL AND ("expiresAt" IS NULL OR "expiresAt" > now())`,
    [accountId],
  );
  if ((row?.count ?? 0n) < BigInt(MAX_KEYS)) return;
  throw new AppError('quota.exceeded', {
    detail: `An account has at most ${MAX_KEYS} API keys. Revoke one that you no longer use.`,
  });
}

function invalidExpiry(message: string): AppError {
  return new AppError('request.invalid', {
    detail: `The request is not valid: expiresAt: ${message}.`,
    errors: [{ field: 'expiresAt', message }],
  });
}

function toApiKey(row: ApiKeyRow): ApiKey {
  return {
    id: row.id,
    name: row.name,
    prefix: row.prefix,
    // A scope that a later version took away means nothing.
    scopes: Scope.options.filter((scope) => row.scopes.includes(scope)),
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    expiresAt: row.expiresAt?.toISOString() ?? null,
    revokedAt: row.revokedAt?.toISOString() ?? null,
    createdAt: row.createdAt.toISOString(),
  };
}
