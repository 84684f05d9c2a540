import { Injectable } from '@nestjs/common';
import type { CreateSshKeyRequest, PageQuery, SshKey, SshKeyPage } from '@dcompute/shared-types';
import {
  AppError,
  Audit,
  Database,
  Prisma,
  type Principal,
  type Tx,
  assertScope,
  notFound,
} from '../../infra/index.js';
import { IdempotencyService } from '../idempotency/index.js';
import { cursorAfter, pageArguments } from './key-page.js';
import { type SshPublicKeyFacts, readSshPublicKey } from './ssh-public-key.js';

const MAX_KEYS = 100;

interface SshKeyRow {
  readonly id: string;
  readonly publicId: number;
  readonly name: string;
  readonly publicKey: string;
  readonly fingerprint: string;
  readonly createdAt: Date;
}

/** SSH keys of an account. */
@Injectable()
export class SshKeysService {
  constructor(
    private readonly db: Database,
    private readonly prisma: Prisma,
    private readonly idempotency: IdempotencyService,
    private readonly audit: Audit,
  ) {}

  /** Throws ssh_key.exists, quota.exceeded, request.invalid. */
  async create(principal: Principal, key: string | undefined, request: CreateSshKeyRequest): Promise<SshKey> {
    assertScope(principal, 'keys:write');
    const facts = readSshPublicKey(request.publicKey);
    const scope = { accountId: principal.accountId, route: 'POST /api/v1/ssh-keys', key, body: request };
    return await this.idempotency.run(scope, async (tx) => {
      await refuseTooMany(tx, principal.accountId);
      return await this.#insert(tx, principal, request.name, facts);
    });
  }

  async list(principal: Principal, page: PageQuery): Promise<SshKeyPage> {
    const rows = await this.prisma.client.sshKey.findMany(pageArguments(principal.accountId, page));
    return { items: rows.map(toSshKey), nextCursor: cursorAfter(rows, page) };
  }

  /** Throws resource.not_found. */
  async remove(principal: Principal, id: string): Promise<void> {
    assertScope(principal, 'keys:write');
    await this.db.transaction(async (tx) => {
      const [row] = await tx.query<{ name: string; fingerprint: string }>(
        'DELETE FROM "SshKey" WHERE "id" = $1 AND "userId" = $2 RETURNING "name", "fingerprint"',
        [id, principal.accountId],
      );
      if (!row) throw notFound('SSH key');
      await this.#record(tx, principal, 'ssh_key.remove', id, row);
    });
  }

  async #insert(tx: Tx, principal: Principal, name: string, facts: SshPublicKeyFacts): Promise<SshKey> {
    const [row] = await tx.query<SshKeyRow>(
      `INSERT INTO "SshKey" ("userId", "name", "publicKey", "fingerprint") VALUES ($1, $2, $3, $4)
       ON CONFLICT ("userId", "fingerprint") DO NOTHING
       RETURNING "id", "publicId", "name", "publicKey", "fingerprint", "createdAt"`,
      [principal.accountId, name, facts.line, facts.fingerprint],
    );
    if (!row) throw new AppError('ssh_key.exists', { detail: `The key ${facts.fingerprint} is registered already.` });
    await this.#record(tx, principal, 'ssh_key.create', row.id, { name, fingerprint: facts.fingerprint });
    return toSshKey(row);
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
      subjectType: 'SshKey',
      subjectId: id,
      data,
      ip: principal.ip,
    });
  }
}

async function refuseTooMany(tx: Tx, accountId: string): Promise<void> {
  const [row] = await tx.query<{ count: bigint }>('SELECT count(*) FROM "SshKey" WHERE "userId" = $1', [accountId]);
  if ((row?.count ?? 0n) < BigInt(MAX_KEYS)) return;
  throw new AppError('quota.exceeded', {
    detail: `An account has at most ${MAX_KEYS} SSH keys. Remove one that you no longer use.`,
  });
}

function toSshKey(row: SshKeyRow): SshKey {
  return {
    id: row.id,
    publicId: row.publicId,
    name: row.name,
    publicKey: row.publicKey,
    fingerprint: row.fingerprint,
    createdAt: row.createdAt.toISOString(),
  };
}
