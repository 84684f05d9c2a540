import { createHash, randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Bus, Database, SecretsVault, type Tx } from '../../infra/index.js';

const TOKEN_BYTES = 32;

/** The tunnel token of each node: sealed for the node itself, its hash for the guards that decide by it. */
@Injectable()
export class NodeTokens {
  constructor(
    private readonly db: Database,
    private readonly bus: Bus,
    readonly vault: SecretsVault,
  ) {}

  /** The node's token, made at the first call. Null for an unknown or evicted node. */
  async ensure(nodeId: string): Promise<string | null> {
    const [node] = await this.db.query<{ tunnelTokenSecretId: string | null }>(
      'SELECT "tunnelTokenSecretId" FROM "HostNode" WHERE "id" = $1 AND "evictedAt" IS NULL',
      [nodeId],
    );
    if (!node) return null;
    if (node.tunnelTokenSecretId !== null) return await this.vault.open(this.db, node.tunnelTokenSecretId);
    return await this.db.transaction(async (tx) => await this.#make(tx, nodeId));
  }

  /** Puts the node on the list of what every guard is told next. */
  async announce(tx: Tx, nodeId: string): Promise<void> {
    // In the order of ids, so that two of these never wait for each other.
    const told = await tx.query<{ proxyServerId: string }>(
      `WITH server AS (
         UPDATE "ProxyServer" SET "rev" = "rev" + 1
          WHERE "id" IN (SELECT "id" FROM "ProxyServer" ORDER BY "id" FOR NO KEY UPDATE)
          RETURNING "id", "rev"
       )
       INSERT INTO "ProxyNodeChange" ("proxyServerId", "nodeId", "rev") SELECT "id", $1, "rev" FROM server
       ON CONFLICT ("proxyServerId", "nodeId") DO UPDATE SET "rev" = excluded."rev"
       RETURNING "proxyServerId"`,
      [nodeId],
    );
    tx.afterCommit(() => told.forEach(({ proxyServerId }) => this.bus.publish('proxy.changed', { proxyServerId })));
  }

  async #make(tx: Tx, nodeId: string): Promise<string | null> {
    const [node] = await tx.query<{ tunnelTokenSecretId: string | null }>(
      'SELECT "tunnelTokenSecretId" FROM "HostNode" WHERE "id" = $1 AND "evictedAt" IS NULL FOR NO KEY UPDATE',
      [nodeId],
    );
    if (!node) return null;
    if (node.tunnelTokenSecretId !== null) return await this.vault.open(tx, node.tunnelTokenSecretId);
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    await tx.query('UPDATE "HostNode" SET "tunnelTokenSecretId" = $2, "tunnelTokenHash" = $3 WHERE "id" = $1', [
      nodeId,
      await this.vault.seal(tx, 'node_tunnel_token', token),
      createHash('sha256').update(token).digest('hex'),
    ]);
    await this.announce(tx, nodeId);
    return token;
  }
}
