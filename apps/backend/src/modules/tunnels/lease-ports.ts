import { AppError, type Tx } from '../../infra/index.js';
import { type ChosenProxyServer, proxyServersFor } from './proxy-choice.js';

export interface LeaseRequest {
  readonly rentalId: string;
  readonly nodeId: string;
  /** Distinct ports inside the container. */
  readonly containerPorts: readonly number[];
}

export interface LeasedPorts {
  readonly proxyServerId: string;
  /** Where people connect to. */
  readonly host: string;
  readonly leases: readonly { readonly containerPort: number; readonly port: number }[];
}

/** Looked at in a server that is not nearly full; a full one is left after so many. */
const SAMPLED_PORTS = 32;

/** How free ports are looked for: a few random ones, which is enough while there is room, or all of them. */
type Search = 'sample' | 'all';

/**
 * Leases free ports of the first proxy server that has room. Ports are looked for before the server is locked, so a full
 * one is passed over without waiting for it; what somebody else took meanwhile is replaced under the lock, where nobody
 * can come between. The unique index has the last word.
 */
export async function leasePorts(tx: Tx, request: LeaseRequest, now: Date): Promise<LeasedPorts> {
  const servers = await proxyServersFor(tx, request.nodeId);
  const leased =
    (await leaseOnFirst(tx, servers, request, 'sample')) ??
    (await leaseOnFirst(tx, servers, request, 'all')) ??
    (await leaseAfterRest(tx, servers, request, now));
  if (leased) return leased;
  throw new AppError('rental.no_port_free', {
    detail: 'No proxy server has enough free public ports. Try again in a few minutes, or ask for fewer ports.',
    retryAfterSeconds: 60,
  });
}

async function leaseOnFirst(
  tx: Tx,
  servers: readonly ChosenProxyServer[],
  request: LeaseRequest,
  search: Search,
): Promise<LeasedPorts | null> {
  for (const server of servers) {
    const leases = await leaseOn(tx, server, request, search);
    if (leases) return { proxyServerId: server.id, host: server.host, leases };
  }
  return null;
}

/** Ports that have rested are given back only when room is short: until then they are in nobody's way. */
async function leaseAfterRest(
  tx: Tx,
  servers: readonly ChosenProxyServer[],
  request: LeaseRequest,
  now: Date,
): Promise<LeasedPorts | null> {
  const released = await tx.query(
    `UPDATE "PortLease" SET "releasedAt" = $2
      WHERE "id" IN (
        SELECT "id" FROM "PortLease"
         WHERE "proxyServerId" = ANY ($1::uuid[]) AND "restingUntil" <= $2 AND "releasedAt" IS NULL
         FOR UPDATE SKIP LOCKED)
      RETURNING "id"`,
    [servers.map((server) => server.id), now],
  );
  return released.length === 0 ? null : await leaseOnFirst(tx, servers, request, 'all');
}

type Lease = LeasedPorts['leases'][number];

async function leaseOn(
  tx: Tx,
  server: ChosenProxyServer,
  request: LeaseRequest,
  search: Search,
): Promise<Lease[] | null> {
  const { containerPorts } = request;
  const ports = await findFreePorts(tx, server, containerPorts.length, search);
  if (ports.length < containerPorts.length) return null;
  const leases = await insertLeases(tx, server, request, containerPorts, ports);
  const missing = containerPorts.filter((port) => !leases.some((lease) => lease.containerPort === port));
  if (missing.length === 0) return leases;
  // Others were faster. From here on the server is ours until the commit.
  const others = await findFreePorts(tx, server, missing.length, 'all');
  const rest = await insertLeases(tx, server, request, missing.slice(0, others.length), others);
  if (rest.length === missing.length) return [...leases, ...rest];
  await tx.query('DELETE FROM "PortLease" WHERE "rentalId" = $1 AND "proxyServerId" = $2', [
    request.rentalId,
    server.id,
  ]);
  return null;
}

async function findFreePorts(tx: Tx, server: ChosenProxyServer, count: number, search: Search): Promise<number[]> {
  const range = [server.id, server.portStart, server.portEnd, count];
  const rows = await (search === 'sample'
    ? tx.query<{ port: number }>(FIND_SAMPLE, [...range, SAMPLED_PORTS + 2 * count])
    : tx.query<{ port: number }>(FIND_ALL, range));
  return rows.map((row) => row.port);
}

/** Tests each port by the unique index: `OFFSET 0` keeps the planner from joining with all leases instead. */
const FIND_SAMPLE = `
SELECT s.port
  FROM (SELECT DISTINCT $2::int + floor(random() * ($3::int - $2::int + 1))::int AS port FROM generate_series(1, $5::int)) AS s
 WHERE NOT EXISTS (
   SELECT FROM "PortLease" l
    WHERE l."proxyServerId" = $1 AND l."port" = s.port AND l."releasedAt" IS NULL OFFSET 0)
 LIMIT $4`;

const FIND_ALL = `
SELECT free.port
  FROM (SELECT generate_series($2::int, $3::int) AS port
        EXCEPT
        SELECT l."port" FROM "PortLease" l WHERE l."proxyServerId" = $1 AND l."releasedAt" IS NULL) AS free
 ORDER BY random() LIMIT $4`;

/** Locks the server by raising its rev, and takes what is still free of `ports`, one for each container port. */
async function insertLeases(
  tx: Tx,
  server: ChosenProxyServer,
  request: LeaseRequest,
  containerPorts: readonly number[],
  ports: readonly number[],
): Promise<Lease[]> {
  return await tx.query<Lease>(
    `WITH server AS (UPDATE "ProxyServer" SET "rev" = "rev" + 1 WHERE "id" = $1 RETURNING "rev")
     INSERT INTO "PortLease" ("proxyServerId", "rentalId", "nodeId", "protocol", "port", "containerPort", "proxyName", "state", "rev")
     SELECT $1, $2::uuid, $3, 'tcp', p.port, p.container_port, 'dc-' || $2::uuid || '-' || p.container_port, 'live', server."rev"
       FROM server, unnest($4::int[], $5::int[]) AS p(port, container_port)
     ON CONFLICT DO NOTHING
     RETURNING "containerPort", "port"`,
    [server.id, request.rentalId, request.nodeId, ports, containerPorts],
  );
}
