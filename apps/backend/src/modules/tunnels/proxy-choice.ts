import { LIMITS } from '@dcompute/shared-types';
import type { Queryable } from '../../infra/index.js';

export interface ChosenProxyServer {
  readonly id: string;
  readonly host: string;
  readonly portStart: number;
  readonly portEnd: number;
}

/**
 * The enabled proxy servers that a node may use, the preferred one first: those that its rentals are pinned to, then by
 * rendezvous hash, which spreads nodes evenly and moves few of them when a server is added.
 */
export async function proxyServersFor(db: Queryable, nodeId: string): Promise<ChosenProxyServer[]> {
  return await db.query<ChosenProxyServer>(
    `SELECT p."id", p."host", p."portStart", p."portEnd" FROM "ProxyServer" p
      WHERE p."enabled"
      ORDER BY EXISTS (SELECT FROM "PortLease" l WHERE l."nodeId" = $1::uuid AND l."proxyServerId" = p."id" AND l."state" = 'live') DESC,
               md5($1::uuid || p."id"::text)
      LIMIT $2`,
    [nodeId, LIMITS.proxyServersPerNode],
  );
}
