import { z } from 'zod';
import { LedgerAccountKind } from '../entities/enums.js';
import { DecimalAmount } from '../entities/money.js';
import { Transaction } from '../entities/transaction.js';
import { PageQuery, pageOf } from './pages.js';

/** What an account has. `available` is the specification's `User.balance`. */
export const Balance = z
  .object({
    available: DecimalAmount,
    held: DecimalAmount,
    pendingEarnings: DecimalAmount,
    payableEarnings: DecimalAmount,
  })
  .meta({ id: 'Balance' });
export type Balance = z.infer<typeof Balance>;

export const TransactionPage = pageOf(Transaction, 'TransactionPage');
export type TransactionPage = z.infer<typeof TransactionPage>;

/** Operator only: every account's transactions, platform accounts included. */
export const OperatorTransactionQuery = PageQuery.extend({
  userId: z.uuid().optional(),
  account: LedgerAccountKind.optional(),
  /** The rental or payment that the entry belongs to. */
  referenceId: z.string().min(1).max(100).optional(),
}).meta({ id: 'OperatorTransactionQuery' });
export type OperatorTransactionQuery = z.infer<typeof OperatorTransactionQuery>;

/** Operator only; needs an `Idempotency-Key` header. */
export const GrantCreditRequest = z
  .object({
    userId: z.uuid().optional(),
    email: z.email().optional(),
    amount: DecimalAmount,
    reason: z.string().trim().min(1).max(400),
  })
  .refine((request) => (request.userId === undefined) !== (request.email === undefined), {
    message: 'name the account by exactly one of userId and email',
    path: ['userId'],
  })
  .meta({ id: 'GrantCreditRequest' });
export type GrantCreditRequest = z.infer<typeof GrantCreditRequest>;

export const GrantedCredit = z
  .object({ userId: z.uuid(), entryId: z.uuid(), amount: DecimalAmount, reason: z.string() })
  .meta({ id: 'GrantedCredit' });
export type GrantedCredit = z.infer<typeof GrantedCredit>;

export const LedgerInvariant = z
  .object({ id: z.string(), ok: z.boolean(), detail: z.string() })
  .meta({ id: 'LedgerInvariant' });
export type LedgerInvariant = z.infer<typeof LedgerInvariant>;

export const LedgerCheck = z
  .object({ ok: z.boolean(), checkedAt: z.iso.datetime(), invariants: z.array(LedgerInvariant) })
  .meta({ id: 'LedgerCheck' });
export type LedgerCheck = z.infer<typeof LedgerCheck>;
