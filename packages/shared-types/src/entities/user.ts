import { z } from 'zod';
import { AccountKind, Role } from './enums.js';
import { DecimalAmount } from './money.js';

export const User = z
  .object({
    id: z.uuid(),
    publicId: z.number().int(),
    clerkId: z.string(),
    email: z.email(),
    displayName: z.string().nullable(),
    kind: AccountKind,
    role: Role,
    isOperator: z.boolean(),
    balance: DecimalAmount,
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'User' });
export type User = z.infer<typeof User>;
