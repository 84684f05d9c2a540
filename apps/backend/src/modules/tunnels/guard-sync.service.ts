import { setTimeout as delay } from 'node:timers/promises';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import type { GuardLease, GuardNode, GuardSync, GuardSyncQuery } from '@dcompute/shared-types';
import { Bus, Clock, Database } from '../../infra/index.js';

/** A lost message of the bus costs this long. */
const POLL_MS = 1_000;
const SEEN_EVERY_MS = 5_000;
const SSH_CONTAINER_PORT = 22;

/** Tells guards what changed on their proxy server. */
@Injectable()
export class GuardSyncService implements OnModuleDestroy {
  readonly #closing = new AbortController();

  constructor(
    private readonly db: Database,
    private readonly bus: Bus,
    private readonly clock: Clock,
  ) {}

  /**
   * What changed after `sinceRev`. Waits for a change for `waitMs` at most, less when the caller is gone or the process
   * ends; an answer without a change is empty.
   */
  async sync(proxyServerId: string, { sinceRev, waitMs }: GuardSyncQuery, gone: AbortSignal): Promise<GuardSync> {
    if (waitMs > 0) await this.#markSeen(proxyServerId);
    const over = AbortSignal.any([gone, this.#closing.signal, AbortSignal.timeout(waitMs)]);
    const changed = new ChangeSignal(this.bus, proxyServerId);
    try {
      for (;;) {
        const rev = await this.#revOf(proxyServerId);
        if (sinceRev === 0 || sinceRev > rev) return await this.#everything(proxyServerId, rev);
        if (sinceRev < rev) return await this.#changes(proxyServerId, sinceRev, rev);
        if (waitMs === 0 || over.aborted) return { rev, full: false, leases: [], nodes: [] };
        await changed.wait(POLL_MS, over);
      }
    } finally {
      changed.close();
    }
  }

  onModuleDestroy(): void {
    this.#closing.abort();
  }

  /** Read before what it stands for: a change that is committed in between is sent now and again. */
  async #revOf(proxyServerId: string): Promise<number> {
    const [server] = await this.db.query<{ rev: bigint }>('SELECT "rev" FROM "ProxyServer" WHERE "id" = $1', [
      proxyServerId,
    ]);
    return Number(server?.rev ?? 0n);
  }

  async #everything(proxyServerId: string, rev: number): Promise<GuardSync> {
    const leases = await this.db.query<GuardLease>(
      `${SELECT_LEASES} WHERE l."proxyServerId" = $1 AND l."state" IN ('live', 'revoked') ORDER BY l."id"`,
      [proxyServerId],
    );
    const nodes = await this.db.query<GuardNode>(
      `${SELECT_NODES} WHERE n."tunnelTokenHash" IS NOT NULL ORDER BY n."id"`,
    );
    return { rev, full: true, leases, nodes };
  }

  async #changes(proxyServerId: string, sinceRev: number, rev: number): Promise<GuardSync> {
    const leases = await this.db.query<GuardLease>(
      `${SELECT_LEASES} WHERE l."proxyServerId" = $1 AND l."rev" > $2 ORDER BY l."id"`,
      [proxyServerId, sinceRev],
    );
    const nodes = await this.db.query<GuardNode>(
      `${SELECT_NODES}
        WHERE n."tunnelTokenHash" IS NOT NULL
          AND (n."id" = ANY ($3::uuid[])
               OR n."id" IN (SELECT c."nodeId" FROM "ProxyNodeChange" c WHERE c."proxyServerId" = $1 AND c."rev" > $2))
        ORDER BY n."id"`,
      [proxyServerId, sinceRev, [...new Set(leases.map((lease) => lease.nodeId))]],
    );
    return { rev, full: false, leases, nodes };
  }

  async #markSeen(proxyServerId: string): Promise<void> {
    const now = this.clock.now();
    await this.db.query(
      `UPDATE "ProxyServer" SET "lastSeenAt" = $2 WHERE "id" = $1 AND ("lastSeenAt" IS NULL OR "lastSeenAt" < $3)`,
      [proxyServerId, now, new Date(now.getTime() - SEEN_EVERY_MS)],
    );
  }
}

const SELECT_LEASES = `
SELECT l."id" AS "leaseId", l."rentalId", l."nodeId", l."proxyName", l."protocol", l."port", l."hostLabel",
       l."containerPort", l."state", CASE l."containerPort" WHEN ${SSH_CONTAINER_PORT} THEN r."sshHostKeyFingerprint" END AS "sshHostKeyFingerprint"
  FROM "PortLease" l JOIN "Rental" r ON r."id" = l."rentalId"`;

const SELECT_NODES = `
SELECT n."id" AS "nodeId", CASE WHEN n."evictedAt" IS NULL THEN n."tunnelTokenHash" END AS "tunnelTokenHash"
  FROM "HostNode" n`;

/** Remembers from its making on that a proxy server has changed, so that no change falls between a look and a wait. */
class ChangeSignal {
  #changed = false;
  #wake = new AbortController();
  readonly close: () => void;

  constructor(bus: Bus, proxyServerId: string) {
    this.close = bus.subscribe('proxy.changed', (message) => {
      if (message.proxyServerId !== proxyServerId) return;
      this.#changed = true;
      this.#wake.abort();
    });
  }

  /** Resolves at the next change, after `timeoutMs` or when `signal` is aborted, whichever comes first. */
  async wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const woken = AbortSignal.any([signal, this.#wake.signal]);
    await delay(timeoutMs, undefined, { signal: woken }).catch(() => undefined);
    if (this.#changed) this.#wake = new AbortController();
    this.#changed = false;
  }
}
