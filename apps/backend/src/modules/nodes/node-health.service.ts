import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import type { NodeStatus, ReportedNodeStatus } from '@dcompute/shared-types';
import { APP_CONFIG, type AppConfig, GATEWAY_CONFIG, type GatewayConfig } from '../../config/index.js';
import { Bus, Clock, Database, Logger, Outbox, repeat } from '../../infra/index.js';
import { MeteringService } from '../metering/index.js';
import type { NodeFence } from './nodes.service.js';

/** The latest that was heard of a node. */
export interface NodeSeen extends NodeFence {
  readonly seenAt: Date;
  readonly status: ReportedNodeStatus;
}

interface HealthChange {
  readonly nodeId: string;
  readonly ownerId: string;
  readonly status: NodeStatus;
}

/** Nodes of one statement: locks are held for milliseconds, so that no rent waits for them. */
const CHUNK = 1000;
const SWEEP_MS = { least: 20, most: 5_000 } as const;

/** How long each node has been silent, and what that makes of it. */
@Injectable()
export class NodeHealth implements OnApplicationBootstrap, OnModuleDestroy {
  #stop: (() => Promise<void>) | undefined;

  constructor(
    @Inject(APP_CONFIG) private readonly app: AppConfig,
    @Inject(GATEWAY_CONFIG) private readonly config: GatewayConfig,
    private readonly db: Database,
    private readonly clock: Clock,
    private readonly bus: Bus,
    private readonly outbox: Outbox,
    private readonly logger: Logger,
    private readonly metering: MeteringService,
  ) {}

  onApplicationBootstrap(): void {
    if (!this.app.duties.timers) return;
    const everyMs = Math.min(SWEEP_MS.most, Math.max(SWEEP_MS.least, this.config.suspectMs / 6));
    this.#stop = repeat('node_health', everyMs, this.logger, () => this.sweep());
  }

  async onModuleDestroy(): Promise<void> {
    await this.#stop?.();
  }

  /**
   * Writes what a replica heard of its nodes since the last time, and brings silent ones back. A node whose row is locked
   * by a rent is left for the next call, so neither waits for the other.
   */
  async recordSeen(seen: readonly NodeSeen[]): Promise<void> {
    for (let start = 0; start < seen.length; start += CHUNK) {
      await this.#recordChunk(seen.slice(start, start + CHUNK));
    }
  }

  /**
   * Marks nodes as suspect, unreachable and lost. Silence counts only while the platform could hear: not before the
   * current window of the gateways' own liveness, and not at all while there is none.
   */
  async sweep(): Promise<void> {
    const since = await this.metering.gatewaysUpSince();
    if (!since) return;
    while ((await this.#sweepChunk(since)) === CHUNK);
  }

  async #sweepChunk(since: Date): Promise<number> {
    const now = this.clock.nowMs();
    const before = (ms: number): Date => new Date(now - ms);
    return await this.db.transaction(async (tx) => {
      const changes = await tx.query<HealthChange>(SWEEP, [
        since,
        before(this.config.suspectMs),
        before(this.config.unreachableMs),
        before(this.config.lostMs),
        CHUNK,
      ]);
      await this.outbox.append(
        tx,
        changes.map(({ nodeId, ownerId, status }) => {
          return { accountId: ownerId, type: 'node.health_changed', subjectId: nodeId, data: { status } };
        }),
      );
      tx.afterCommit(() => this.#publish(changes));
      return changes.length;
    });
  }

  async #recordChunk(seen: readonly NodeSeen[]): Promise<void> {
    const changes = await this.db.query<HealthChange & { changed: boolean }>(RECORD_SEEN, [
      seen.map((node) => node.nodeId),
      seen.map((node) => node.sessionEpoch),
      seen.map((node) => node.seenAt),
      seen.map((node) => node.status),
      new Date(this.clock.nowMs() - this.config.suspectMs),
    ]);
    this.#publish(changes.filter((change) => change.changed));
  }

  #publish(changes: readonly HealthChange[]): void {
    for (const { nodeId, status } of changes) this.bus.publish('node.health_changed', { nodeId, status });
  }
}

const RECORD_SEEN = `
WITH seen AS (
  SELECT * FROM unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::"NodeStatus"[]) AS s(node_id, epoch, seen_at, status)
), free AS (
  SELECT n."id", n."status" AS before, s.seen_at, CASE WHEN s.seen_at > $5 THEN s.status ELSE n."status" END AS after
    FROM "HostNode" n JOIN seen s ON s.node_id = n."id" AND s.epoch = n."sessionEpoch"
   ORDER BY n."id" FOR NO KEY UPDATE OF n SKIP LOCKED
)
UPDATE "HostNode" n SET "lastSeenAt" = greatest(n."lastSeenAt", f.seen_at), "status" = f.after
  FROM free f WHERE n."id" = f."id"
RETURNING n."id" AS "nodeId", n."ownerId", n."status", (f.before <> f.after) AS "changed"`;

/** Silence makes a status worse only; a beat makes it better. */
const SWEEP = `
WITH due AS (
  SELECT "id", CASE WHEN heard <= $4 THEN 'lost' WHEN heard <= $3 THEN 'unreachable' ELSE 'suspect' END::"NodeStatus" AS after
    FROM (SELECT "id", "status", greatest("lastSeenAt", $1) AS heard FROM "HostNode" WHERE "status" <> 'lost') node
   WHERE heard <= $4
      OR (heard <= $3 AND "status" <> 'unreachable')
      OR (heard <= $2 AND "status" NOT IN ('suspect', 'unreachable'))
   ORDER BY "id" LIMIT $5
), free AS (
  SELECT n."id", d.after FROM "HostNode" n JOIN due d ON d."id" = n."id"
   WHERE greatest(n."lastSeenAt", $1) <= $2 ORDER BY n."id" FOR NO KEY UPDATE OF n SKIP LOCKED
)
UPDATE "HostNode" n SET "status" = f.after FROM free f WHERE n."id" = f."id"
RETURNING n."id" AS "nodeId", n."ownerId", n."status"`;
