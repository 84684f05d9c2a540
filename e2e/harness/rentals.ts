import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Rental, RentalStatus } from '@dcompute/shared-types';
import { ensureSshKey, runOverSsh, sshArguments, waitForRental } from '../../tools/launch/rental-life.mjs';
import type { ApiClient } from './accounts.js';

const folder = mkdtempSync(join(tmpdir(), 'dcompute-e2e-ssh-'));
const key = ensureSshKey(folder);

/** Rents an offer with this run's SSH key. */
export async function rent(renter: ApiClient, offerId: string, request: Record<string, unknown> = {}): Promise<Rental> {
  return (await renter.post('/api/v1/rentals', {
    offerId,
    sshPublicKeys: [key.publicKey],
    ttlSeconds: 900,
    ...request,
  })) as Rental;
}

/** Waits until a rental has one of these states; fails with its own reason when it ends otherwise. */
export async function reaches(renter: ApiClient, id: string, ...statuses: RentalStatus[]): Promise<Rental> {
  return (await waitForRental(renter, id, statuses, { timeoutMs: 120_000 })) as Rental;
}

/** Runs a command over the real OpenSSH client, with the host key that the API shows, and returns its output. */
export async function ssh(rental: Rental, command: string): Promise<string> {
  return await runOverSsh(sshArguments({ rental, privateKey: key.privateKey, folder }), command);
}

/** The arguments with which the real `ssh` reaches a rental, without a command. */
export function sshTo(rental: Rental): string[] {
  return sshArguments({ rental, privateKey: key.privateKey, folder });
}

/** The private key of this run, for an agent that holds it. */
export const privateKey = key.privateKey;

/** Deletes a rental and waits until its node has confirmed. */
export async function remove(renter: ApiClient, id: string): Promise<Rental> {
  await renter.delete(`/api/v1/rentals/${id}`);
  return await reaches(renter, id, 'TERMINATED', 'FAILED');
}
