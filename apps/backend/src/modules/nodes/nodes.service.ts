import { Injectable } from '@nestjs/common';
import type { DrainMode, HostNode, PageQuery, UpdateNodeRequest } from '@dcompute/shared-types';
import {
  AppError,
  Audit,
  Bus,
  CURSOR_PART,
  Clock,
  Database,
  Outbox,
  type Principal,
  type Queryable,
  type Tx,
  assertRole,
  assertScope,
  decodeCursor,
  encodeCursor,
  notFound,
} from '../../infra/index.js';
import { OffersService } from '../offers/index.js';
import { NODE_SELECT, type NodeRow, toHostNode } from './node-view.js';

/** A write that comes from an agent: it counts only while its session is the node's latest (R8). */
export interface NodeFence {
  readonly nodeId: string;
  readonly sessionEpoch: number;
}

/** Nodes as their hosts see and change them, and the revision of what a node should run. */
@Injectable()
export class NodesService {
  constructor(
    private readonly db: Database,
    private readonly audit: Audit,
    private readonly outbox: Outbox,
    private readonly bus: Bus,
    private readonly clock: Clock,
    private readonly offers: OffersService,
  ) {}

  /** Raises a node's revision in the transaction that changes what it should run, and returns it. Locks the node's row. */
  async bumpRev(tx: Tx, nodeId: string): Promise<bigint> {
    const [node] = await tx.query<{ rev: bigint }>(
      `UPDATE "HostNode" SET "rev" = "rev" + 1 WHERE "id" = $1 RETURNING "rev"`,
      [nodeId],
    );
    if (!node) throw new Error(`node ${nodeId} does not exist`);
    return node.rev;
  }

  /** The account's nodes, oldest first. */
  async list(principal: Principal, page: PageQuery): Promise<{ items: HostNode[]; nextCursor: string | null }> {
    const [after] = decodeCursor(page.cursor, [CURSOR_PART.sequence]) ?? [];
    const rows = await this.db.query<NodeRow>(
      `${NODE_SELECT} WHERE n."ownerId" = $1 AND n."publicId" > $2::bigint ORDER BY n."publicId" LIMIT $3`,
      [principal.accountId, after ?? '0', page.limit],
    );
    const last = rows.length === page.limit ? rows.at(-1) : undefined;
    return { items: rows.map(toHostNode), nextCursor: last ? encodeCursor([String(last.publicId)]) : null };
  }

  /** One node, for its owner and for operators. Throws `resource.not_found`. */
  async get(principal: Principal, nodeId: string): Promise<HostNode> {
    return toHostNode(await findNode(this.db, principal, nodeId));
  }

  /** Changes name or prices. Offers follow in the same transaction; running rentals keep their rates. */
  async update(principal: Principal, nodeId: string, change: UpdateNodeRequest): Promise<HostNode> {
    assertMayProvide(principal);
    return await this.#change(principal, nodeId, 'node.update', change, async (tx) => {
      await tx.query(
        `UPDATE "HostNode" SET "name" = coalesce($2, "name"), "pricingConfig" = coalesce($3::jsonb, "pricingConfig")
          WHERE "id" = $1`,
        [nodeId, change.name ?? null, change.pricingConfig ? JSON.stringify(change.pricingConfig) : null],
      );
      if (change.pricingConfig) await this.offers.projectNode(tx, nodeId);
    });
  }

  /** Lets nothing new onto a node, or lets it again. What runs there goes on either way. */
  async drain(principal: Principal, nodeId: string, mode: DrainMode): Promise<HostNode> {
    assertMayProvide(principal);
    return await this.#change(principal, nodeId, 'node.drain', { mode }, async (tx) => {
      await tx.query(`UPDATE "HostNode" SET "draining" = $2 WHERE "id" = $1`, [nodeId, mode === 'no_new']);
      await this.offers.refreshAvailability(tx, [nodeId]);
    });
  }

  /**
   * An operator has looked at a frozen node (R6, or a suspected clone): it stops and removes again what it should, and has
   * offers again. Throws `node.not_frozen`.
   */
  async confirm(principal: Principal, nodeId: string): Promise<HostNode> {
    assertScope(principal, 'operator');
    return await this.#change(principal, nodeId, 'node.confirm', {}, async (tx, node) => {
      if (node.frozenReason === null && node.cloneSuspectedAt === null) {
        throw new AppError('node.not_frozen', { detail: 'This node is not frozen: there is nothing to confirm.' });
      }
      await tx.query(
        `UPDATE "HostNode" SET "frozenAt" = NULL, "frozenReason" = NULL, "cloneSuspectedAt" = NULL, "rev" = "rev" + 1
          WHERE "id" = $1`,
        [nodeId],
      );
      await this.offers.refreshAvailability(tx, [nodeId]);
    });
  }

  /** Freezes a node by the word of its agent: nothing is stopped, removed or rented there until an operator confirms. */
  async freeze(fence: NodeFence, reason: string): Promise<void> {
    await this.db.transaction(async (tx) => {
      await lockCapacity(tx, fence.nodeId);
      const [node] = await tx.query<{ ownerId: string }>(
        `UPDATE "HostNode" SET "frozenAt" = $3, "frozenReason" = $4, "rev" = "rev" + 1
          WHERE "id" = $1 AND "sessionEpoch" = $2 AND "frozenAt" IS NULL RETURNING "ownerId"`,
        [fence.nodeId, fence.sessionEpoch, this.clock.now(), reason],
      );
      if (!node) return;
      await this.noteFrozen(tx, { id: fence.nodeId, ownerId: node.ownerId }, reason);
      await this.offers.refreshAvailability(tx, [fence.nodeId]);
      tx.afterCommit(() => this.bus.publish('node.changed', { nodeId: fence.nodeId }));
    });
  }

  /** The audit row and the owner's event of a node that was frozen. */
  async noteFrozen(tx: Tx, node: { id: string; ownerId: string }, reason: string): Promise<void> {
    await this.audit.write(tx, {
      actorId: null,
      accountId: node.ownerId,
      action: 'node.freeze',
      subjectType: 'HostNode',
      subjectId: node.id,
      data: { reason },
    });
    await this.outbox.append(tx, [
      { accountId: node.ownerId, type: 'node.frozen', subjectId: node.id, data: { reason } },
    ]);
  }

  /** One change of a node by a person: locked in the common order, audited, announced, and answered with the new state. */
  async #change(
    principal: Principal,
    nodeId: string,
    action: string,
    data: Record<string, unknown>,
    work: (tx: Tx, node: NodeRow) => Promise<void>,
  ): Promise<HostNode> {
    return await this.db.transaction(async (tx) => {
      // Nobody locks what is not theirs: looked up before, and read again under the lock.
      await findNode(tx, principal, nodeId);
      await lockCapacity(tx, nodeId);
      await work(tx, await findNode(tx, principal, nodeId));
      await this.audit.write(tx, {
        actorId: principal.personId,
        accountId: principal.accountId,
        action,
        subjectType: 'HostNode',
        subjectId: nodeId,
        data,
        ip: principal.ip,
      });
      tx.afterCommit(() => this.bus.publish('node.changed', { nodeId }));
      return toHostNode(await findNode(tx, principal, nodeId));
    });
  }
}

function assertMayProvide(principal: Principal): void {
  assertScope(principal, 'nodes:write');
  assertRole(principal.role, 'LEASE');
}

/** Capacity is locked before its node, everywhere: so says the order of locks. */
async function lockCapacity(tx: Tx, nodeId: string): Promise<void> {
  await tx.query(`SELECT FROM "NodeCapacity" WHERE "nodeId" = $1 FOR UPDATE`, [nodeId]);
}

async function findNode(db: Queryable, principal: Principal, nodeId: string): Promise<NodeRow> {
  const [row] = await db.query<NodeRow>(`${NODE_SELECT} WHERE n."id" = $1 AND (n."ownerId" = $2 OR $3)`, [
    nodeId,
    principal.accountId,
    mayOperate(principal),
  ]);
  if (!row) throw notFound('node');
  return row;
}

/** An operator's API key sees other people's nodes only with the scope for it. */
function mayOperate(principal: Principal): boolean {
  return principal.isOperator && principal.scopes.includes('operator');
}
