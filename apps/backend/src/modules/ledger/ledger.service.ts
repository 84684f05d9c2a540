import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import {
  type Balance,
  type LedgerAccountKind,
  type LedgerCheck,
  type PageQuery,
  type Transaction,
  type TransactionPage,
  canonicalJson,
  formatAmountMicros,
} from '@dcompute/shared-types';
import {
  CURSOR_PART,
  Clock,
  Database,
  type Queryable,
  type Tx,
  constraintOf,
  decodeCursor,
  encodeCursor,
} from '../../infra/index.js';
import { checkInvariants } from './ledger-check.js';
import { type HoldMove, type LedgerEntry, holdKey, holdMove } from './postings.js';

/** Which transactions; a field that is not set filters nothing. */
export interface TransactionFilter {
  readonly userId?: string | undefined;
  readonly account?: LedgerAccountKind | undefined;
  readonly referenceId?: string | undefined;
}

/** The only way to move money: balanced entries, each written once under its idempotency key. */
@Injectable()
export class LedgerService {
  constructor(
    private readonly db: Database,
    private readonly clock: Clock,
  ) {}

  /**
   * Posts entries in the caller's transaction. An entry whose key was posted before with the same content changes nothing;
   * with other content all fail. Throws when a balance would fall below zero: see `isInsufficientBalance`.
   */
  async post(tx: Tx, entries: readonly LedgerEntry[]): Promise<void> {
    if (entries.length === 0) return;
    await tx.query(`SELECT count(*) FROM ledger_post_batch($1::jsonb)`, [JSON.stringify(entries.map(toInput))]);
  }

  /** The entry that was posted under a key. */
  async entryIdOf(db: Queryable, idempotencyKey: string): Promise<string> {
    const [entry] = await db.query<{ id: string }>('SELECT "id" FROM "LedgerEntry" WHERE "idempotencyKey" = $1', [
      idempotencyKey,
    ]);
    if (!entry) throw new Error(`no ledger entry has the key ${idempotencyKey}`);
    return entry.id;
  }

  /**
   * Moves money from the renter's balance to a rental's hold, or back. The caller holds the rental's lock, so the count of
   * its moves is a key of its own for each.
   */
  async moveHold(tx: Tx, move: Omit<HoldMove, 'idempotencyKey'>): Promise<void> {
    const release = move.kind === 'hold_release';
    const [hold] = await tx.query<{ moves: number }>(
      `INSERT INTO "Hold" ("rentalId", "amount", "moves", "updatedAt", "releasedAt") VALUES ($1, $2, 1, $3, $4)
       ON CONFLICT ("rentalId") DO UPDATE
         SET "amount" = "Hold"."amount" + $5, "moves" = "Hold"."moves" + 1, "updatedAt" = $3, "releasedAt" = $4
       RETURNING "moves"`,
      [
        move.rentalId,
        formatAmountMicros(release ? 0n : move.amountMicros),
        this.clock.now(),
        release ? this.clock.now() : null,
        formatAmountMicros(release ? -move.amountMicros : move.amountMicros),
      ],
    );
    if (move.amountMicros === 0n) return;
    await this.post(tx, [holdMove({ ...move, idempotencyKey: holdKey(move.kind, move.rentalId, hold?.moves ?? 0) })]);
  }

  /** What an account has, by ledger account. Amounts are decimal strings. */
  async balanceOf(userId: string): Promise<Balance> {
    const rows = await this.db.query<{ kind: LedgerAccountKind; balance: string }>(
      `SELECT "kind", sum("balance") AS "balance" FROM "LedgerAccount" WHERE "userId" = $1 GROUP BY "kind"`,
      [userId],
    );
    const balances = new Map(rows.map((row) => [row.kind, row.balance]));
    const of = (kind: LedgerAccountKind) => balances.get(kind) ?? '0.000000';
    return {
      available: of('renter_available'),
      held: of('renter_held'),
      pendingEarnings: of('host_pending'),
      payableEarnings: of('host_payable'),
    };
  }

  /** Transactions, newest first, of one account or (for operators) of all. Throws request.invalid for a foreign cursor. */
  async transactions(filter: TransactionFilter, page: PageQuery): Promise<TransactionPage> {
    const [beforeSeq] = decodeCursor(page.cursor, [CURSOR_PART.sequence]) ?? [];
    const rows = await this.db.query<Omit<Transaction, 'createdAt'> & { seq: bigint; createdAt: Date }>(
      `SELECT t."id", t."userId", t."entryId", a."kind" AS "account", t."amount", t."type", t."referenceId",
              e."kind", e."reason", t."createdAt", t."seq"
         FROM "Transaction" t
         JOIN "LedgerAccount" a ON a."id" = t."ledgerAccountId"
         JOIN "LedgerEntry" e ON e."id" = t."entryId"
        WHERE ($1::uuid IS NULL OR t."userId" = $1)
          AND ($2::"LedgerAccountKind" IS NULL OR a."kind" = $2)
          AND ($3::text IS NULL OR t."referenceId" = $3)
          AND ($4::bigint IS NULL OR t."seq" < $4)
        ORDER BY t."seq" DESC LIMIT $5`,
      [filter.userId ?? null, filter.account ?? null, filter.referenceId ?? null, beforeSeq ?? null, page.limit],
    );
    const items = rows.map(({ seq: _seq, ...row }) => ({ ...row, createdAt: row.createdAt.toISOString() }));
    const last = rows.length === page.limit ? rows.at(-1) : undefined;
    return { items, nextCursor: last ? encodeCursor([String(last.seq)]) : null };
  }

  /** Checks I1 to I5, I8 and I9 over the whole database, in one snapshot. */
  async check(): Promise<LedgerCheck> {
    const invariants = await checkInvariants(this.db);
    return {
      ok: invariants.every((invariant) => invariant.ok),
      checkedAt: this.clock.now().toISOString(),
      invariants,
    };
  }
}

/** Whether a posting failed because a balance does not cover it. The transaction it was in is lost. */
export function isInsufficientBalance(error: unknown): boolean {
  return constraintOf(error) === 'LedgerAccount_balance_check';
}

function toInput(entry: LedgerEntry) {
  const postings = entry.postings.map(({ amountMicros, ...posting }) => ({
    ...posting,
    amount: formatAmountMicros(amountMicros),
  }));
  const content = { kind: entry.kind, reason: entry.reason, referenceId: entry.referenceId, postings };
  const inputHash = createHash('sha256').update(canonicalJson(content)).digest('hex');
  return { ...content, idempotencyKey: entry.idempotencyKey, inputHash, createdById: entry.createdById };
}
