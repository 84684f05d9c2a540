import { randomUUID } from 'node:crypto';
import type { Role, User } from '@dcompute/shared-types';
import { inject } from 'vitest';
import { signedInClient, signedUpClient } from '../../tools/launch/accounts.mjs';

/** A client of the REST API that is signed in. */
export type ApiClient = Awaited<ReturnType<typeof signedUpClient>> & { readonly user: User };

/** Signs up a new account. */
export async function newAccount(role: Role): Promise<ApiClient> {
  const email = `${role.toLowerCase()}-${randomUUID()}@e2e.example`;
  return await signedUpClient(inject('market').url, { email, password: 'e2e-password-1234', displayName: role, role });
}

/** The operator of the market. */
export async function operator(): Promise<ApiClient> {
  const { url, operator: account } = inject('market');
  return await signedInClient(url, account);
}

/** A new renter with credit. `amount` in dollars. */
export async function newRenter(amount = '10'): Promise<ApiClient> {
  const renter = await newAccount('RENT');
  await (await operator()).post('/api/v1/operator/credits', { userId: renter.user.id, amount, reason: 'e2e' });
  return renter;
}
