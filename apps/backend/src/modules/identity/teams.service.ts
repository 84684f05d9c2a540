import { Injectable } from '@nestjs/common';
import type {
  ActingAccount,
  CreateTeamRequest,
  SetTeamMemberRequest,
  TeamMember,
  TeamRole,
  User,
} from '@dcompute/shared-types';
import {
  AppError,
  Audit,
  Database,
  Ids,
  type Principal,
  type Queryable,
  type Tx,
  assertScope,
  notFound,
} from '../../infra/index.js';
import { IdempotencyService } from '../idempotency/index.js';
import { ACCOUNT_COLUMNS, type AccountRow, AccountsService, userView } from './accounts.service.js';
import { EmbeddedIdentity } from './embedded-identity.js';

const MAX_TEAMS = 100;
const MAX_MEMBERS = 200;

/** Teams of the embedded identity, and the accounts that a person may act for. Where Clerk signs people in, teams are its organisations. */
@Injectable()
export class TeamsService {
  constructor(
    private readonly db: Database,
    private readonly accounts: AccountsService,
    private readonly embedded: EmbeddedIdentity,
    private readonly idempotency: IdempotencyService,
    private readonly audit: Audit,
    private readonly ids: Ids,
  ) {}

  /** The own account first, then teams by name. An API key of a team sees that team only. */
  async accountsOf(principal: Principal): Promise<ActingAccount[]> {
    const rows = await this.db.query<AccountRow & { memberRole: TeamRole | null }>(
      `SELECT ${ACCOUNT_COLUMNS},
              (SELECT m."role" FROM "Membership" m WHERE m."teamId" = "User"."id" AND m."personId" = $1) AS "memberRole"
         FROM "User"
        WHERE ("id" = $1 OR "id" IN (SELECT m."teamId" FROM "Membership" m WHERE m."personId" = $1))
          AND ($3::uuid IS NULL OR "id" = $3)
        ORDER BY "kind", "displayName", "id" LIMIT $2`,
      [principal.personId, MAX_TEAMS + 1, boundTeamOf(principal)],
    );
    return rows.map(({ memberRole, ...account }) => ({ account: userView(account), role: memberRole }));
  }

  /** Throws quota.exceeded, auth.forbidden where Clerk has the teams. */
  async create(principal: Principal, key: string | undefined, request: CreateTeamRequest): Promise<User> {
    this.#assertMayChange(principal);
    if (boundTeamOf(principal) !== null)
      throw new AppError('auth.forbidden', { detail: 'An API key of a team acts for that team only.' });
    const scope = { accountId: principal.personId, route: 'POST /api/v1/teams', key, body: request };
    return await this.idempotency.run(scope, async (tx) => {
      await refuseMore(tx, '"personId"', principal.personId, MAX_TEAMS, 'A person is in at most 100 teams.');
      const id = this.ids.uuid();
      await tx.query(
        `INSERT INTO "User" ("id", "clerkId", "email", "displayName", "kind") VALUES ($1, $2, $3, $4, 'TEAM')`,
        [id, `local_team_${id}`, `${id}@team.invalid`, request.name],
      );
      await putMembership(tx, id, principal.personId, 'owner');
      await this.#record(tx, principal, 'team.create', id, { name: request.name });
      const team = await this.accounts.findById(tx, id);
      if (!team) throw notFound('team');
      return userView(team);
    });
  }

  /** Throws resource.not_found unless the person is a member. */
  async membersOf(principal: Principal, teamId: string): Promise<TeamMember[]> {
    await ownRoleIn(this.db, teamId, principal);
    return await findMembers(this.db, teamId, null);
  }

  /** Throws resource.not_found, auth.forbidden, quota.exceeded, team.last_owner. */
  async setMember(principal: Principal, teamId: string, request: SetTeamMemberRequest): Promise<TeamMember> {
    this.#assertMayChange(principal);
    return await this.db.transaction(async (tx) => {
      await lockTeam(tx, teamId);
      const mine = await ownRoleIn(tx, teamId, principal);
      const person = await this.accounts.findByEmail(tx, request.email);
      if (!person || person.kind !== 'PERSON') {
        throw new AppError('resource.not_found', { detail: 'Nobody with this e-mail address has an account here.' });
      }
      const [before] = await findMembers(tx, teamId, person.id);
      assertMayManage(mine, [before?.role, request.role]);
      if (!before) await refuseMore(tx, '"teamId"', teamId, MAX_MEMBERS, 'A team has at most 200 members.');
      await putMembership(tx, teamId, person.id, request.role);
      await assertOwned(tx, teamId);
      await this.#record(tx, principal, 'team.set_member', teamId, { personId: person.id, role: request.role });
      const [member] = await findMembers(tx, teamId, person.id);
      if (!member) throw notFound('member');
      return member;
    });
  }

  /** Throws resource.not_found, auth.forbidden, team.last_owner. */
  async removeMember(principal: Principal, teamId: string, personId: string): Promise<void> {
    this.#assertMayChange(principal);
    await this.db.transaction(async (tx) => {
      await lockTeam(tx, teamId);
      const mine = await ownRoleIn(tx, teamId, principal);
      const theirs = await roleIn(tx, teamId, personId);
      if (personId !== principal.personId) assertMayManage(mine, [theirs]);
      await tx.query('DELETE FROM "Membership" WHERE "teamId" = $1 AND "personId" = $2', [teamId, personId]);
      await assertOwned(tx, teamId);
      await this.#record(tx, principal, 'team.remove_member', teamId, { personId });
    });
  }

  #assertMayChange(principal: Principal): void {
    assertScope(principal, 'account:write');
    if (this.embedded.enabled) return;
    throw new AppError('auth.forbidden', {
      detail: 'Teams of this platform are Clerk organisations: change them there.',
    });
  }

  async #record(
    tx: Tx,
    principal: Principal,
    action: string,
    teamId: string,
    data: Record<string, unknown>,
  ): Promise<void> {
    await this.audit.write(tx, {
      actorId: principal.personId,
      accountId: teamId,
      action,
      subjectType: 'User',
      subjectId: teamId,
      data,
      ip: principal.ip,
    });
  }
}

/** Changes of one team's members come one after another, so that the last owner cannot leave twice. */
async function lockTeam(tx: Tx, teamId: string): Promise<void> {
  await tx.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 2))', [teamId]);
}

/** The team that a credential is bound to: a key that was made for a team has no say in its maker's other accounts. */
function boundTeamOf({ via, accountId, personId }: Principal): string | null {
  return via === 'api_key' && accountId !== personId ? accountId : null;
}

async function ownRoleIn(db: Queryable, teamId: string, principal: Principal): Promise<TeamRole> {
  const bound = boundTeamOf(principal);
  if (bound !== null && bound !== teamId) throw notFound('team');
  return await roleIn(db, teamId, principal.personId);
}

async function roleIn(db: Queryable, teamId: string, personId: string): Promise<TeamRole> {
  const [row] = await db.query<{ role: TeamRole }>(
    'SELECT "role" FROM "Membership" WHERE "teamId" = $1 AND "personId" = $2',
    [teamId, personId],
  );
  if (!row) throw notFound('team');
  return row.role;
}

/** Owners manage everybody; admins everybody but owners. `touched`: the roles before and after. */
function assertMayManage(mine: TeamRole, touched: readonly (TeamRole | undefined)[]): void {
  if (mine === 'owner' || (mine === 'admin' && !touched.includes('owner'))) return;
  throw new AppError('auth.forbidden', { detail: `Your role in this team is ${mine}: ask one of its owners.` });
}

async function assertOwned(tx: Tx, teamId: string): Promise<void> {
  const owners = await tx.query(`SELECT FROM "Membership" WHERE "teamId" = $1 AND "role" = 'owner' LIMIT 1`, [teamId]);
  if (owners.length > 0) return;
  throw new AppError('team.last_owner', { detail: 'A team needs an owner. Make somebody else an owner first.' });
}

async function putMembership(tx: Tx, teamId: string, personId: string, role: TeamRole): Promise<void> {
  await tx.query(
    `INSERT INTO "Membership" ("teamId", "personId", "role") VALUES ($1, $2, $3)
     ON CONFLICT ("teamId", "personId") DO UPDATE SET "role" = excluded."role"`,
    [teamId, personId, role],
  );
}

/** The members of a team by e-mail address, or the one person. */
async function findMembers(db: Queryable, teamId: string, personId: string | null): Promise<TeamMember[]> {
  const rows = await db.query<Omit<TeamMember, 'createdAt'> & { createdAt: Date }>(
    `SELECT m."personId", p."email"::text AS "email", p."displayName", m."role", m."createdAt"
       FROM "Membership" m JOIN "User" p ON p."id" = m."personId"
      WHERE m."teamId" = $1 AND ($2::uuid IS NULL OR m."personId" = $2)
      ORDER BY p."email" LIMIT $3`,
    [teamId, personId, MAX_MEMBERS],
  );
  return rows.map((row) => ({ ...row, createdAt: row.createdAt.toISOString() }));
}

async function refuseMore(
  tx: Tx,
  column: '"personId"' | '"teamId"',
  id: string,
  limit: number,
  detail: string,
): Promise<void> {
  const [row] = await tx.query<{ count: bigint }>(`SELECT count(*) FROM "Membership" WHERE ${column} = $1`, [id]);
  if ((row?.count ?? 0n) >= BigInt(limit)) throw new AppError('quota.exceeded', { detail });
}
