import { Inject, Injectable } from '@nestjs/common';
import type { GuardProbe } from '@dcompute/shared-types';
import { GATEWAY_CONFIG, type GatewayConfig } from '../../config/index.js';
import { Bus, Clock, Database, Logger, isDatabaseUnavailable } from '../../infra/index.js';
import { type NodeBeats, adjustNodeClocks, extendNodeWindows } from './heartbeat-proof.js';
import { PLATFORM_COMPONENT, findGatewaysUpSince, recordGatewayAlive } from './platform-liveness.js';
import { extendGuardWindows, extendProbeWindows, ownProbes, updateProbeStates } from './probe-proof.js';
import { type NodeSegments, type SegmentOutcome, checkSegments, storeSegments } from './usage-proof.js';

/** What a gateway replica heard since its last batch. */
export interface EvidenceBatch {
  readonly beats: readonly NodeBeats[];
  readonly segments: readonly NodeSegments[];
}

/** Nodes of one statement about segments: it locks their rentals for milliseconds. */
const NODES_PER_STATEMENT = 500;

/** Proof of time: what nodes say of themselves, what guards saw, and when the platform itself was there to see it. */
@Injectable()
export class MeteringService {
  constructor(
    @Inject(GATEWAY_CONFIG) private readonly config: GatewayConfig,
    private readonly db: Database,
    private readonly clock: Clock,
    private readonly bus: Bus,
    private readonly logger: Logger,
  ) {}

  /**
   * Records a batch in a number of statements that does not depend on the number of nodes, and says that this gateway is
   * alive, so it is called also with nothing to record. Returns by node the segments that the agent may forget, all of them
   * committed: stored ones, known ones, and refused ones, which would be as wrong the next time (they are logged). Segments
   * of a node that cannot be stored keep no other node from its own. A batch that failed may be given again whole: what is
   * known changes nothing.
   */
  async recordBatch({ beats, segments }: EvidenceBatch): Promise<Map<string, readonly string[]>> {
    const { heartbeatCoverMs: coverMs, heartbeatBridgeMs: bridgeMs } = this.config;
    const now = this.clock.now();
    await this.db.transaction(async (tx) => {
      await recordGatewayAlive(tx, now, coverMs);
      await adjustNodeClocks(tx, beats, now);
      await extendNodeWindows(tx, beats, { coverMs, bridgeMs });
    });
    const settled = new Map<string, readonly string[]>();
    for (let start = 0; start < segments.length; start += NODES_PER_STATEMENT) {
      const outcomes = await this.#storeOrLeaveOut(segments.slice(start, start + NODES_PER_STATEMENT), now);
      for (const { nodeId, settledIds } of outcomes)
        settled.set(nodeId, [...(settled.get(nodeId) ?? []), ...settledIds]);
    }
    return settled;
  }

  /**
   * Records what the guard of a proxy server saw. Doubled, late and reordered reports change nothing twice; probes of
   * leases that are not this proxy server's are ignored. One guard's reports are recorded one after the other.
   */
  async recordProbes(proxyServerId: string, probes: readonly GuardProbe[]): Promise<void> {
    const now = this.clock.now();
    const { probeMaxAgeMs } = this.config;
    const component = PLATFORM_COMPONENT.guard(proxyServerId);
    await this.db.transaction(async (tx) => {
      await tx.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 2))', [component]);
      const own = await ownProbes(tx, proxyServerId, probes, now);
      await extendProbeWindows(tx, own, probeMaxAgeMs);
      await updateProbeStates(tx, own);
      const seenAtMs = own.length > 0 ? own.map((probe) => probe.atMs) : [now.getTime()];
      await extendGuardWindows(tx, component, seenAtMs, probeMaxAgeMs);
      const rentalIds = [...new Set(own.map((probe) => probe.rentalId))];
      if (rentalIds.length > 0) tx.afterCommit(() => this.bus.publish('metering.evidence', { rentalIds }));
    });
  }

  /** Since when gateways have been able to hear nodes without an outage; null while none is up. */
  async gatewaysUpSince(): Promise<Date | null> {
    return await findGatewaysUpSince(this.db, this.clock.now(), this.config.heartbeatCoverMs);
  }

  /** Nodes whose segments cannot be stored are found by halving, and left out: their agents send them again. */
  async #storeOrLeaveOut(nodes: readonly NodeSegments[], now: Date): Promise<SegmentOutcome[]> {
    try {
      return await this.#store(nodes, now);
    } catch (error) {
      if (isDatabaseUnavailable(error)) throw error;
      const half = Math.ceil(nodes.length / 2);
      if (nodes.length > 1) {
        const first = await this.#storeOrLeaveOut(nodes.slice(0, half), now);
        return [...first, ...(await this.#storeOrLeaveOut(nodes.slice(half), now))];
      }
      this.logger.error('metering.segments_failed', error, { nodeId: nodes[0]?.nodeId });
      return [];
    }
  }

  async #store(nodes: readonly NodeSegments[], now: Date): Promise<SegmentOutcome[]> {
    const checked = await Promise.all(nodes.map((node) => checkSegments(node)));
    const outcomes = await this.db.transaction((tx) => storeSegments(tx, checked, now));
    for (const { nodeId, refused } of outcomes) {
      if (refused.size > 0) this.logger.warn('metering.segments_refused', { nodeId, ...Object.fromEntries(refused) });
    }
    const rentalIds = [...new Set(outcomes.flatMap((outcome) => outcome.storedRentalIds))];
    if (rentalIds.length > 0) this.bus.publish('metering.evidence', { rentalIds });
    return outcomes;
  }
}
