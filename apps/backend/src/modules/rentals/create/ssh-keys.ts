import { LIMITS, jsonBytes } from '@dcompute/shared-types';
import { AppError, type Tx } from '../../../infra/index.js';

/** Which keys open a rental: ids of the account's own keys, keys given in the request, or, with neither, all its own. */
export interface SshKeyChoice {
  readonly sshKeyIds: readonly string[];
  readonly sshPublicKeys: readonly string[];
}

/**
 * The public keys of a new rental, each once. Throws `resource.not_found` for an id that is not the account's own,
 * `rental.ssh_key_required` when there is no key at all (nobody could ever log in), and `request.invalid` when they are
 * longer in all than one message to the agent may carry.
 */
export async function authorizedKeysFor(tx: Tx, accountId: string, choice: SshKeyChoice): Promise<string[]> {
  const all = choice.sshKeyIds.length === 0 && choice.sshPublicKeys.length === 0;
  const wanted = [...new Set(choice.sshKeyIds)];
  const registered =
    all || wanted.length > 0
      ? await tx.query<{ publicKey: string }>(
          `SELECT "publicKey" FROM "SshKey" WHERE "userId" = $1 AND ($2 OR "id" = ANY ($3::uuid[]))
            ORDER BY "createdAt", "id" LIMIT $4`,
          [accountId, all, wanted, LIMITS.sshKeysPerRental],
        )
      : [];
  if (!all && registered.length < wanted.length) {
    throw new AppError('resource.not_found', { detail: 'One of the SSH keys that you named is not registered.' });
  }
  const found = [...new Set([...registered.map((key) => key.publicKey.trim()), ...choice.sshPublicKeys])];
  const keys = found.slice(0, LIMITS.sshKeysPerRental);
  if (keys.length === 0) {
    throw new AppError('rental.ssh_key_required', {
      detail: 'Register an SSH key or send one as sshPublicKeys: without a key nobody can log in.',
    });
  }
  if (jsonBytes(keys) > LIMITS.sshKeysTotalBytes) {
    const message = `the SSH keys of one rental have at most ${LIMITS.sshKeysTotalBytes} bytes in all: name fewer of them`;
    throw new AppError('request.invalid', {
      detail: `The request is not valid: ${message}.`,
      errors: [{ field: 'sshKeyIds', message }],
    });
  }
  return keys;
}
