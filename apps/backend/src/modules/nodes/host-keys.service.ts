import { Injectable } from '@nestjs/common';
import type { CreateHostKeyRequest, CreatedHostKey, HostKey, PageQuery, Role } from '@dcompute/shared-types';
import {
  Audit,
  Bus,
  CURSOR_PART,
  Clock,
  Database,
  type Principal,
  assertRole,
  assertScope,
  decodeCursor,
  encodeCursor,
  hashBearerSecret,
  newBearerSecret,
  notFound,
} from '../../infra/index.js';
import { IdempotencyService } from '../idempotency/index.js';
import { AgentRefusal } from './agent-refusal.js';

const COLUMNS = `"id", "name", "prefix", "nodeId", "lastUsedAt", "revokedAt", "createdAt"`;

interface HostKeyRow {
  readonly id: string;
  readonly name: string;
  readonly prefix: string;
  readonly nodeId: string | null;
  readonly lastUsedAt: Date | null;
  readonly revokedAt: Date | null;
  readonly createdAt: Date;
}

/** What stands behind a host key when it is used. */
export interface HostKeyHolder {
  readonly role: Role;
  readonly revokedAt: Date | null;
  readonly disabledAt: Date | null;
}

/** Host keys: the bearer secrets by which agents enrol nodes and connect. Only their hashes are stored. */
@Injectable()
export class HostKeysService {
  constructor(
    private readonly db: Database,
    private readonly idempotency: IdempotencyService,
    private readonly audit: Audit,
    private readonly bus: Bus,
    private readonly clock: Clock,
  ) {}

  /** Makes a key. Its secret is in this answer (and in its replay under the same idempotency key) and nowhere else. */
  async create(principal: Principal, body: CreateHostKeyRequest, key: string | undefined): Promise<CreatedHostKey> {
    assertScope(principal, 'keys:write');
    assertRole(principal.role, 'LEASE');
    const request = { accountId: principal.accountId, route: 'POST /api/v1/host-keys', key, body, secret: true };
    return await this.idempotency.run(request, async (tx) => {
      const { secret, prefix, hash } = newBearerSecret('dhk_');
      const [row] = await tx.query<HostKeyRow>(
        `INSERT INTO "HostKey" ("userId", "createdById", "name", "prefix", "secretHash", "createdAt")
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING ${COLUMNS}`,
        [principal.accountId, principal.personId, body.name, prefix, hash, this.clock.now()],
      );
      if (!row) throw new Error('the host key was not stored');
      await this.audit.write(tx, auditOf(principal, 'host_key.create', row.id, { name: body.name }));
      return { ...toHostKey(row), secret };
    });
  }

  /** The account's keys, newest first, revoked ones included. */
  async list(principal: Principal, page: PageQuery): Promise<{ items: HostKey[]; nextCursor: string | null }> {
    const [createdAt, id] = decodeCursor(page.cursor, [CURSOR_PART.moment, CURSOR_PART.uuid]) ?? [];
    const rows = await this.db.query<HostKeyRow>(
      `SELECT ${COLUMNS} FROM "HostKey"
        WHERE "userId" = $1 AND ($2::timestamptz IS NULL OR ("createdAt", "id") < ($2, $3::uuid))
        ORDER BY "createdAt" DESC, "id" DESC LIMIT $4`,
      [principal.accountId, createdAt ?? null, id ?? null, page.limit],
    );
    const last = rows.length === page.limit ? rows.at(-1) : undefined;
    return {
      items: rows.map(toHostKey),
      nextCursor: last ? encodeCursor([last.createdAt.toISOString(), last.id]) : null,
    };
  }

  /** Revokes a key; its agents are cut off at once. Doing it twice changes nothing. */
  async revoke(principal: Principal, hostKeyId: string): Promise<void> {
    assertScope(principal, 'keys:write');
    await this.db.transaction(async (tx) => {
      const [key] = await tx.query<{ revokedAt: Date | null }>(
        `SELECT "revokedAt" FROM "HostKey" WHERE "id" = $1 AND "userId" = $2 FOR UPDATE`,
        [hostKeyId, principal.accountId],
      );
      if (!key) throw notFound('host key');
      if (key.revokedAt) return;
      await tx.query(`UPDATE "HostKey" SET "revokedAt" = $2 WHERE "id" = $1`, [hostKeyId, this.clock.now()]);
      await this.audit.write(tx, auditOf(principal, 'host_key.revoke', hostKeyId, {}));
      tx.afterCommit(() => this.bus.publish('hostkey.revoked', { hostKeyId }));
    });
  }

  /** The id of the key behind a bearer secret. Throws an AgentRefusal when it may not be used. */
  async authenticate(secret: string): Promise<string> {
    const [key] = await this.db.query<HostKeyHolder & { id: string }>(
      `SELECT k."id", k."revokedAt", u."role", u."disabledAt"
         FROM "HostKey" k JOIN "User" u ON u."id" = k."userId" WHERE k."secretHash" = $1`,
      [hashBearerSecret(secret)],
    );
    if (!key)
      throw new AgentRefusal('agent.host_key_invalid', 'This host key does not exist. Make one in your account.');
    assertUsable(key);
    return key.id;
  }
}

/** Throws an AgentRefusal for a revoked key and for an account that may not provide nodes. */
export function assertUsable(key: HostKeyHolder): void {
  if (key.revokedAt) {
    throw new AgentRefusal('agent.host_key_revoked', 'This host key was revoked. Make a new one in your account.');
  }
  if (key.disabledAt) throw new AgentRefusal('agent.role_forbidden', 'The account of this host key is disabled.');
  if (key.role === 'RENT') {
    throw new AgentRefusal(
      'agent.role_forbidden',
      'The account of this host key has the role RENT and may not provide nodes. Change it to LEASE or BOTH.',
    );
  }
}

function toHostKey(row: HostKeyRow): HostKey {
  return {
    ...row,
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    revokedAt: row.revokedAt?.toISOString() ?? null,
    createdAt: row.createdAt.toISOString(),
  };
}

function auditOf(principal: Principal, action: string, subjectId: string, data: Record<string, unknown>) {
  const { personId: actorId, accountId, ip } = principal;
  return { actorId, accountId, action, subjectType: 'HostKey', subjectId, data, ip };
}
