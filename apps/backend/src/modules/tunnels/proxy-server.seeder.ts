import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { type ProxyServerSeed, TUNNEL_CONFIG, type TunnelConfig } from '../../config/index.js';
import { Database, SecretsVault, type Tx, hashBearerSecret } from '../../infra/index.js';

/** Any constant that nothing else locks: replicas that boot together seed one after the other. */
const SEED_LOCK_ID = 0x64637078;

/** Writes the proxy servers and guard credentials of the configuration to the database, at every boot. */
@Injectable()
export class ProxyServerSeeder implements OnApplicationBootstrap {
  constructor(
    private readonly db: Database,
    private readonly vault: SecretsVault,
    @Inject(TUNNEL_CONFIG) private readonly config: TunnelConfig,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    const { proxyServers, guardCredentials } = this.config;
    if (proxyServers.length === 0 && guardCredentials.length === 0) return;
    await this.db.transaction(async (tx) => {
      await tx.query('SELECT pg_advisory_xact_lock($1)', [SEED_LOCK_ID]);
      for (const seed of proxyServers) await this.#upsert(tx, seed);
      for (const credential of guardCredentials) await setCredential(tx, credential);
    });
  }

  async #upsert(tx: Tx, seed: ProxyServerSeed): Promise<void> {
    await tx.query(
      `INSERT INTO "ProxyServer" ("id", "name", "host", "bindPort", "serverName", "caPem", "portStart", "portEnd", "authTokenSecretId")
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
       ON CONFLICT ("id") DO UPDATE
         SET "name" = $2, "host" = $3, "bindPort" = $4, "serverName" = $5, "caPem" = $6, "portStart" = $7, "portEnd" = $8,
             "authTokenSecretId" = $9`,
      [
        seed.id,
        seed.name,
        seed.host,
        seed.bindPort,
        seed.serverName,
        seed.caPem,
        seed.portStart,
        seed.portEnd,
        await this.#authTokenSecret(tx, seed),
      ],
    );
  }

  /** The stored secret while the token is the same, else a new one. */
  async #authTokenSecret(tx: Tx, seed: ProxyServerSeed): Promise<string> {
    const [known] = await tx.query<{ secretId: string }>(
      'SELECT "authTokenSecretId" AS "secretId" FROM "ProxyServer" WHERE "id" = $1 FOR NO KEY UPDATE',
      [seed.id],
    );
    if (known && (await this.vault.open(tx, known.secretId)) === seed.authToken) return known.secretId;
    return await this.vault.seal(tx, 'proxy_server_token', seed.authToken);
  }
}

async function setCredential(tx: Tx, credential: TunnelConfig['guardCredentials'][number]): Promise<void> {
  const updated = await tx.query(`UPDATE "ProxyServer" SET "guardCredentialHash" = $2 WHERE "id" = $1 RETURNING "id"`, [
    credential.proxyServerId,
    hashBearerSecret(credential.secret),
  ]);
  if (updated.length > 0) return;
  throw new Error(
    `GUARD_CREDENTIALS names the proxy server ${credential.proxyServerId}, which PROXY_SERVERS does not have.`,
  );
}
