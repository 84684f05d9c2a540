import type { ProxyServerAccess } from '@dcompute/shared-types';
import type { Queryable, SecretsVault } from '../../infra/index.js';
import { proxyServersFor } from './proxy-choice.js';

interface AccessRow {
  readonly id: string;
  readonly host: string;
  readonly bindPort: number;
  readonly serverName: string;
  readonly caPem: string;
  readonly authTokenSecretId: string;
}

/** How a node reaches each of its proxy servers, the preferred one first. */
export async function proxyAccessOf(
  db: Queryable,
  vault: SecretsVault,
  nodeId: string,
  nodeToken: string,
): Promise<ProxyServerAccess[]> {
  const servers = await proxyServersFor(db, nodeId);
  const rows = await db.query<AccessRow>(
    `SELECT "id", "host", "bindPort", "serverName", "caPem", "authTokenSecretId" FROM "ProxyServer"
      WHERE "id" = ANY ($1::uuid[]) ORDER BY array_position($1::uuid[], "id")`,
    [servers.map((server) => server.id)],
  );
  const authTokens = await vault.openMany(
    db,
    rows.map((row) => row.authTokenSecretId),
  );
  return rows.map((row) => {
    const authToken = authTokens.get(row.authTokenSecretId);
    if (authToken === undefined) throw new Error(`proxy server ${row.id} has lost its token`);
    return {
      id: row.id,
      host: row.host,
      bind_port: row.bindPort,
      server_name: row.serverName,
      ca_pem: row.caPem,
      auth_token: authToken,
      node_token: nodeToken,
    };
  });
}
