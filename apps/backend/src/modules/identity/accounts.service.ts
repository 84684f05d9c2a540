import { Injectable } from '@nestjs/common';
import { type Me, type Role, type User, formatAmountMicros, parseAmountMicros } from '@dcompute/shared-types';
import {
  AppError,
  Audit,
  Database,
  type Principal,
  type Queryable,
  type Tx,
  assertScope,
  notFound,
} from '../../infra/index.js';

/** A row of `User`. */
export interface AccountRow {
  readonly id: string;
  readonly publicId: number;
  readonly clerkId: string;
  readonly email: string;
  readonly displayName: string | null;
  readonly kind: 'PERSON' | 'TEAM';
  readonly role: Role;
  readonly isOperator: boolean;
  readonly balance: string;
  readonly disabledAt: Date | null;
  readonly createdAt: Date;
}

/** What an `AccountRow` is read from, of a "User" without another name. */
export const ACCOUNT_COLUMNS = `"id", "publicId", "clerkId", "email"::text AS "email", "displayName", "kind", "role", "isOperator", "balance", "disabledAt", "createdAt"`;

/** What an identity provider says of a person or a team. */
export interface IdentityClaim {
  readonly clerkId: string;
  readonly email: string;
  readonly displayName?: string | undefined;
  readonly role?: Role | undefined;
}

/** Accounts: persons and teams, as the rest of the platform knows them. */
@Injectable()
export class AccountsService {
  constructor(
    private readonly db: Database,
    private readonly audit: Audit,
  ) {}

  async findById(db: Queryable, id: string): Promise<AccountRow | undefined> {
    const [row] = await db.query<AccountRow>(
      `SELECT ${ACCOUNT_COLUMNS} FROM "User" WHERE "id" = $1 AND NOT "isSystem"`,
      [id],
    );
    return row;
  }

  async findByEmail(db: Queryable, email: string): Promise<AccountRow | undefined> {
    const [row] = await db.query<AccountRow>(
      `SELECT ${ACCOUNT_COLUMNS} FROM "User" WHERE "email" = $1 AND NOT "isSystem"`,
      [email],
    );
    return row;
  }

  /** The account of a valid identity: made at first sight, since a token can come before its webhook. */
  async ensurePerson(claim: IdentityClaim): Promise<AccountRow> {
    const known = await this.#findByClerkId(this.db, claim.clerkId);
    return known ?? (await this.db.transaction((tx) => this.#create(tx, claim, 'PERSON')));
  }

  /** The team of a valid organisation claim, with the person as a member of it. */
  async ensureTeam(
    claim: IdentityClaim,
    member: { personId: string; role: 'owner' | 'admin' | 'member' },
  ): Promise<AccountRow> {
    return await this.db.transaction(async (tx) => {
      const team = (await this.#findByClerkId(tx, claim.clerkId)) ?? (await this.#create(tx, claim, 'TEAM'));
      await tx.query(
        `INSERT INTO "Membership" ("teamId", "personId", "role") VALUES ($1, $2, $3)
         ON CONFLICT ("teamId", "personId") DO UPDATE SET "role" = excluded."role"`,
        [team.id, member.personId, member.role],
      );
      return team;
    });
  }

  /** The team that a person asked to act for; not found unless the person is a member. */
  async teamOfMember(personId: string, teamId: string): Promise<AccountRow> {
    const [row] = await this.db.query<AccountRow>(
      `SELECT ${ACCOUNT_COLUMNS} FROM "User" WHERE "id" = $1 AND EXISTS
         (SELECT FROM "Membership" m WHERE m."teamId" = $1 AND m."personId" = $2)`,
      [teamId, personId],
    );
    if (!row) throw notFound('team');
    return row;
  }

  /** Changes the acting account; a team by its owners and admins only. Throws auth.forbidden. */
  async update(
    principal: Principal,
    change: { displayName?: string | undefined; role?: Role | undefined },
  ): Promise<User> {
    assertScope(principal, 'account:write');
    return await this.db.transaction(async (tx) => {
      if (principal.accountId !== principal.personId) await assertManager(tx, principal);
      const [row] = await tx.query<AccountRow>(
        `UPDATE "User" SET "displayName" = coalesce($2, "displayName"), "role" = coalesce($3::"Role", "role")
          WHERE "id" = $1 RETURNING ${ACCOUNT_COLUMNS}`,
        [principal.accountId, change.displayName ?? null, change.role ?? null],
      );
      if (!row) throw notFound('account');
      await this.audit.write(tx, {
        actorId: principal.personId,
        accountId: principal.accountId,
        action: 'account.update',
        subjectType: 'User',
        subjectId: principal.accountId,
        data: change,
        ip: principal.ip,
      });
      return userView(row);
    });
  }

  /** By the word of the configuration. Doing it twice changes nothing. */
  async makeOperator(accountId: string): Promise<void> {
    await this.db.transaction(async (tx) => {
      const made = await tx.query(
        'UPDATE "User" SET "isOperator" = true WHERE "id" = $1 AND NOT "isOperator" RETURNING "id"',
        [accountId],
      );
      if (made.length === 0) return;
      const subject = { subjectType: 'User', subjectId: accountId };
      await this.audit.write(tx, { actorId: null, accountId, action: 'account.make_operator', ...subject });
    });
  }

  async me(principal: Principal): Promise<Me> {
    const row = await this.findById(this.db, principal.accountId);
    if (!row) throw notFound('account');
    return { account: userView(row), personId: principal.personId, scopes: [...principal.scopes], via: principal.via };
  }

  async #findByClerkId(db: Queryable, clerkId: string): Promise<AccountRow | undefined> {
    const [row] = await db.query<AccountRow>(`SELECT ${ACCOUNT_COLUMNS} FROM "User" WHERE "clerkId" = $1`, [clerkId]);
    return row;
  }

  async #create(tx: Tx, claim: IdentityClaim, kind: 'PERSON' | 'TEAM'): Promise<AccountRow> {
    const [created] = await tx.query<AccountRow>(
      `INSERT INTO "User" ("clerkId", "email", "displayName", "kind", "role") VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT DO NOTHING RETURNING ${ACCOUNT_COLUMNS}`,
      [claim.clerkId, claim.email.toLowerCase(), claim.displayName ?? null, kind, claim.role ?? 'BOTH'],
    );
    // Two first sights at once: the other one made it.
    const row = created ?? (await this.#findByClerkId(tx, claim.clerkId));
    if (!row) throw new AppError('auth.email_taken', { detail: 'Another account uses this e-mail address.' });
    if (created) {
      await this.audit.write(tx, {
        actorId: kind === 'PERSON' ? row.id : null,
        accountId: row.id,
        action: 'account.create',
        subjectType: 'User',
        subjectId: row.id,
      });
    }
    return row;
  }
}

async function assertManager(db: Queryable, { accountId, personId }: Principal): Promise<void> {
  const managers = await db.query(
    `SELECT FROM "Membership" WHERE "teamId" = $1 AND "personId" = $2 AND "role" IN ('owner', 'admin')`,
    [accountId, personId],
  );
  if (managers.length > 0) return;
  throw new AppError('auth.forbidden', { detail: 'Only owners and admins of a team may change it.' });
}

/** An account as the API shows it. */
export function userView(row: AccountRow): User {
  return {
    id: row.id,
    publicId: row.publicId,
    clerkId: row.clerkId,
    email: row.email,
    displayName: row.displayName,
    kind: row.kind,
    role: row.role,
    isOperator: row.isOperator,
    balance: formatAmountMicros(parseAmountMicros(row.balance)),
    createdAt: row.createdAt.toISOString(),
  };
}
