import { randomBytes, randomUUID } from 'node:crypto';
import type pg from 'pg';
import { generateSshHostKey } from '../src/modules/rentals/create/ssh-host-key.js';

/** The reserved account: whose rows a test's nodes and rentals are does not matter here. */
const OWNER = '00000000-0000-4000-8000-000000000001';

/** A proxy server of a test's configuration, and the credential of its guard. */
export interface SeededProxy {
  readonly id: string;
  readonly credential: string;
  readonly authToken: string;
  readonly bindPort: number;
  readonly portStart: number;
  readonly portEnd: number;
  readonly caPem: string;
  readonly serverName: string;
}

export function proxySeed(facts: Partial<SeededProxy> = {}): SeededProxy {
  return {
    id: randomUUID(),
    credential: randomBytes(24).toString('base64url'),
    authToken: randomBytes(24).toString('base64url'),
    bindPort: 7000,
    portStart: 20_000,
    portEnd: 20_099,
    caPem: '-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n',
    serverName: 'frps.test.internal',
    ...facts,
  };
}

/** What the backend reads its proxy servers from. */
export function proxyEnvironment(proxies: readonly SeededProxy[]): Record<string, string> {
  const servers = proxies.map(({ credential: _credential, ...proxy }) => ({
    ...proxy,
    name: `proxy-${proxy.id}`,
    host: '127.0.0.1',
  }));
  return {
    PROXY_SERVERS: JSON.stringify(servers),
    GUARD_CREDENTIALS: proxies.map((proxy) => `${proxy.id}:${proxy.credential}`).join(','),
  };
}

/** A node that never connected. */
export async function seedNode(db: pg.Client): Promise<string> {
  const nodeId = randomUUID();
  await db.query(
    `INSERT INTO "HostNode" ("id", "ownerId", "name", "specs", "pricingConfig", "publicKey", "status")
     VALUES ($1, $2, 'tunnel test', '{}', '{}', $3, 'maintenance')`,
    [nodeId, OWNER, randomBytes(32).toString('base64')],
  );
  return nodeId;
}

/** A rental without a placement, so that nothing but its leases happens. */
export async function seedRental(db: pg.Client, nodeId: string) {
  const rentalId = randomUUID();
  const hostKey = generateSshHostKey();
  await db.query(
    `WITH secret AS (
       INSERT INTO "Secret" ("kind", "keyId", "ciphertext") VALUES ('test', 'test', '\\x00') RETURNING "id"
     )
     INSERT INTO "Rental" ("id", "renterId", "nodeId", "offerId", "createdById", "costPerHour", "image", "runType", "containerPorts",
       "sshHostKeySecretId", "sshHostKeyFingerprint", "sshHostPublicKey", "sshAuthorizedKeys", "gpuCount", "cpuMillicores", "ramMib", "diskGib")
     SELECT $1, $2, $3, gen_random_uuid(), $2, 1, 'test', 'ssh', '{22}', secret."id", $4, $5, '{}', 0, 1000, 1024, 1 FROM secret`,
    [rentalId, OWNER, nodeId, hostKey.fingerprint, hostKey.publicKey],
  );
  return { rentalId, nodeId, hostKey };
}

/** Takes every port of a proxy server but `leave` for one rental: a server that is nearly full. */
export async function fillProxyServer(
  db: pg.Client,
  proxy: SeededProxy,
  rental: { rentalId: string; nodeId: string },
  leave = 0,
) {
  await db.query(
    `INSERT INTO "PortLease" ("proxyServerId", "rentalId", "nodeId", "protocol", "port", "containerPort", "proxyName", "rev")
     SELECT $1, $2, $3, 'tcp', port, port, 'fill-' || port, 1 FROM generate_series($4::int, $5::int) AS port`,
    [proxy.id, rental.rentalId, rental.nodeId, proxy.portStart, proxy.portEnd - leave],
  );
}
