import { EnvVars, type InstanceSpec, RegistryAuth } from '@dcompute/shared-types';
import type { Queryable, SecretsVault } from '../../../infra/index.js';
import { type StoredSpec, completeSpec } from '../create/instance-spec.js';

interface SpecRow {
  readonly placementId: string;
  readonly spec: StoredSpec;
  readonly envSecretId: string | null;
  readonly registrySecretId: string | null;
  readonly sshHostKeySecretId: string;
}

/**
 * The complete specs of a node's current placements, by placement id: the stored part with its secrets opened, for the
 * agent of that node only. A placement of another node, or one that is to be deleted, has none. Ids are a stranger's text.
 */
export async function openSpecs(
  db: Queryable,
  vault: Pick<SecretsVault, 'openMany'>,
  nodeId: string,
  placementIds: readonly string[],
): Promise<Map<string, InstanceSpec>> {
  if (placementIds.length === 0) return new Map();
  const rows = await db.query<SpecRow>(
    `SELECT p."id" AS "placementId", p."spec", r."envSecretId", r."registrySecretId", r."sshHostKeySecretId"
       FROM "Placement" p JOIN "Rental" r ON r."id" = p."rentalId"
      WHERE p."nodeId" = $1 AND p."current" AND p."desired" <> 'deleted' AND p."id"::text = ANY ($2::text[])`,
    [nodeId, placementIds],
  );
  const secretIds = rows.flatMap((row) => [row.envSecretId, row.registrySecretId, row.sshHostKeySecretId]);
  const secrets = await vault.openMany(
    db,
    secretIds.filter((id) => id !== null),
  );
  return new Map(rows.map((row) => [row.placementId, toSpec(row, secrets)]));
}

function toSpec(row: SpecRow, secrets: ReadonlyMap<string, string>): InstanceSpec {
  const env = row.envSecretId === null ? undefined : secrets.get(row.envSecretId);
  const registry = row.registrySecretId === null ? undefined : secrets.get(row.registrySecretId);
  const hostKey = secrets.get(row.sshHostKeySecretId);
  if (hostKey === undefined) throw new Error(`placement ${row.placementId} has no SSH host key`);
  return completeSpec(row.spec, {
    env: env === undefined ? {} : EnvVars.parse(JSON.parse(env)),
    sshHostKeyPem: hostKey,
    registryAuth: registry === undefined ? null : RegistryAuth.parse(JSON.parse(registry)),
  });
}
