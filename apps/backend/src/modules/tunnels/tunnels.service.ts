import { Inject, Injectable } from '@nestjs/common';
import type { ProxyServerAccess, Tunnel } from '@dcompute/shared-types';
import { TUNNEL_CONFIG, type TunnelConfig } from '../../config/index.js';
import { Bus, Clock, Database, type Queryable, type Tx } from '../../infra/index.js';
import { type LeaseRequest, type LeasedPorts, leasePorts } from './lease-ports.js';
import { NodeTokens } from './node-tokens.js';
import { proxyAccessOf } from './proxy-access.js';

/** Public ports of rentals, and what nodes and guards need to serve them. */
@Injectable()
export class TunnelsService {
  constructor(
    private readonly db: Database,
    private readonly bus: Bus,
    private readonly clock: Clock,
    private readonly tokens: NodeTokens,
    @Inject(TUNNEL_CONFIG) private readonly config: TunnelConfig,
  ) {}

  /**
   * Leases one public port for each container port of a new rental, all on one proxy server, in the caller's transaction.
   * Locks that proxy server until the commit. Throws rental.no_port_free.
   */
  async leasePorts(tx: Tx, request: LeaseRequest): Promise<LeasedPorts> {
    const leased = await leasePorts(tx, request, this.clock.now());
    this.#announceAfterCommit(tx, leased.proxyServerId);
    return leased;
  }

  /**
   * Ends the live leases of a rental: its guard refuses new connections from then on. The ports rest once frps shows them
   * closed. Doing it twice changes nothing.
   */
  async revokeLeases(tx: Tx, rentalId: string): Promise<void> {
    const revoked = await tx.query<{ proxyServerId: string }>(
      `WITH server AS (
         UPDATE "ProxyServer" p SET "rev" = p."rev" + 1
          WHERE p."id" IN (SELECT "proxyServerId" FROM "PortLease" WHERE "rentalId" = $1 AND "state" = 'live')
          RETURNING p."id", p."rev"
       ), revoked AS (
         UPDATE "PortLease" l SET "state" = 'revoked', "rev" = s."rev"
           FROM server s WHERE l."proxyServerId" = s."id" AND l."rentalId" = $1 AND l."state" = 'live'
       )
       SELECT "id" AS "proxyServerId" FROM server`,
      [rentalId],
    );
    for (const { proxyServerId } of revoked) this.#announceAfterCommit(tx, proxyServerId);
  }

  /** The tunnels of live leases, by rental, in the order of their container ports. */
  async tunnelsOf(db: Queryable, rentalIds: readonly string[]): Promise<Map<string, Tunnel[]>> {
    if (rentalIds.length === 0) return new Map();
    const rows = await db.query<Tunnel & { rentalId: string; port: number | null; hostLabel: string | null }>(
      `SELECT "rentalId", "proxyServerId" AS "proxy_server_id", "proxyName" AS "proxy_name", "protocol" AS "type",
              "containerPort" AS "container_port", "port", "hostLabel"
         FROM "PortLease" WHERE "rentalId" = ANY ($1::uuid[]) AND "state" = 'live' ORDER BY "rentalId", "containerPort"`,
      [rentalIds],
    );
    const tunnels = rows.map(({ rentalId, port, hostLabel, ...tunnel }) => ({
      rentalId,
      tunnel: {
        ...tunnel,
        ...(port === null ? {} : { remote_port: port }),
        ...(hostLabel === null ? {} : { subdomain: hostLabel }),
      },
    }));
    const byRental = Map.groupBy(tunnels, ({ rentalId }) => rentalId);
    return new Map([...byRental].map(([rentalId, group]) => [rentalId, group.map(({ tunnel }) => tunnel)]));
  }

  /** The proxy servers that a node may be asked to use, with their secrets; makes its tunnel token at the first call. */
  async accessFor(nodeId: string): Promise<ProxyServerAccess[]> {
    const token = await this.tokens.ensure(nodeId);
    return token === null ? [] : await proxyAccessOf(this.db, this.tokens.vault, nodeId, token);
  }

  /**
   * Tells every guard that a node's tunnel token was changed or that the node was evicted, in the transaction that writes
   * that to the node's row.
   */
  async announceNode(tx: Tx, nodeId: string): Promise<void> {
    await this.tokens.announce(tx, nodeId);
  }

  /**
   * Lets the ports of revoked leases rest: their guard saw them closed in frps. Ids of other proxy servers, and leases
   * that are not revoked, are left alone.
   */
  async recordClosed(proxyServerId: string, leaseIds: readonly string[]): Promise<void> {
    await this.db.query(
      `UPDATE "PortLease" SET "state" = 'resting', "restingUntil" = $3
        WHERE "proxyServerId" = $1 AND "id" = ANY ($2::uuid[]) AND "state" = 'revoked'`,
      [proxyServerId, leaseIds, new Date(this.clock.nowMs() + this.config.portRestMs)],
    );
  }

  #announceAfterCommit(tx: Tx, proxyServerId: string): void {
    tx.afterCommit(() => this.bus.publish('proxy.changed', { proxyServerId }));
  }
}
