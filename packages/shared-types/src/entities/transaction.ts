import { z } from 'zod';
import { LedgerAccountKind, TransactionType } from './enums.js';
import { DecimalAmount } from './money.js';

/** One side of a balanced ledger entry. Never changed; corrections are new entries. */
export const Transaction = z
  .object({
    id: z.uuid(),
    userId: z.uuid(),
    entryId: z.uuid(),
    account: LedgerAccountKind,
    amount: DecimalAmount,
    type: TransactionType,
    referenceId: z.string().nullable(),
    kind: z.string(),
    reason: z.string().nullable(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Transaction' });
export type Transaction = z.infer<typeof Transaction>;
