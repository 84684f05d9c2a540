import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import {
  APP_CONFIG,
  type AppConfig,
  GATEWAY_CONFIG,
  type GatewayConfig,
  RENTAL_CONFIG,
  type RentalConfig,
} from '../../../config/index.js';
import { Bus, Clock, Database, Logger, repeat } from '../../../infra/index.js';
import { MeteringService } from '../../metering/index.js';
import { readyMoment } from '../agent/ready-moment.js';
import { type PlatformDecision, RentalLife } from '../life/rental-life.js';
import type { RentalRecord } from '../life/rental-record.js';
import { findExpired, findLost, findOverdueStarts, findProven, findUnprovable } from './due-rentals.js';
import { followNodes } from './follow-nodes.js';
import { noteOverdueStops } from './overdue-stops.js';

type Decide = (rental: RentalRecord, now: Date) => PlatformDecision | null;

/** Decides what time itself decides: deadlines, TTLs, proofs that came or failed to come, and lost nodes. */
@Injectable()
export class RentalSweeper implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #ends: (() => void | Promise<void>)[] = [];

  constructor(
    @Inject(APP_CONFIG) private readonly app: AppConfig,
    @Inject(RENTAL_CONFIG) private readonly config: RentalConfig,
    @Inject(GATEWAY_CONFIG) private readonly gateway: GatewayConfig,
    private readonly db: Database,
    private readonly clock: Clock,
    private readonly bus: Bus,
    private readonly logger: Logger,
    private readonly life: RentalLife,
    private readonly metering: MeteringService,
  ) {}

  onApplicationBootstrap(): void {
    // News of this very process, whatever its role: a proof that came here makes a rental RUNNING without waiting.
    this.#ends.push(
      this.bus.subscribe('metering.evidence', ({ rentalIds }) => this.proveReady(rentalIds)),
      this.bus.subscribe('node.health_changed', ({ nodeId }) => this.followNodes(nodeId)),
    );
    if (!this.app.duties.timers) return;
    this.#ends.push(repeat('rental_sweep', this.config.sweepMs, this.logger, () => this.sweep()));
  }

  async onModuleDestroy(): Promise<void> {
    for (const end of this.#ends.splice(0)) await end();
  }

  /** Everything once. One kind of work that fails does not keep the others from being done. */
  async sweep(): Promise<void> {
    const kinds = {
      ready: () => this.proveReady(null),
      deadlines: () => this.endOverdueStarts(),
      stops: () => this.noteOverdueStops(),
      ttl: () => this.deleteExpired(),
      probes: () => this.stopUnprovable(),
      lost: () => this.endLost(),
      health: () => this.followNodes(null),
    };
    for (const [kind, work] of Object.entries(kinds)) {
      await work().catch((error: unknown) => this.logger.error('rental.sweep_failed', error, { kind }));
    }
  }

  /** Makes rentals RUNNING that the platform got through to: charging begins at the moment of the first good probe. */
  async proveReady(rentalIds: readonly string[] | null): Promise<void> {
    for (const { id, provenAt } of await findProven(this.db, rentalIds)) {
      await this.#decide(id, (rental, now) => {
        const readyAt = readyMoment(provenAt, rental, now);
        return readyAt && { event: { type: 'proven_ready' }, readyAt };
      });
    }
  }

  /**
   * Ends starts that took too long in one phase. After the gateways were away, agents first get the time to come back and
   * say how far they are.
   */
  async endOverdueStarts(): Promise<void> {
    const heardSince = await this.metering.gatewaysUpSince();
    if (!heardSince || this.clock.nowMs() - heardSince.getTime() < this.gateway.suspectMs) return;
    await this.#decideAll(await findOverdueStarts(this.db, this.clock.now()), (rental, now) =>
      rental.phaseDeadlineAt !== null && rental.phaseDeadlineAt <= now ? { event: { type: 'phase_timeout' } } : null,
    );
  }

  /** Notes stops that their nodes do not confirm, and asks again. */
  async noteOverdueStops(): Promise<void> {
    const stops = await noteOverdueStops(this.db, this.clock.now());
    for (const { nodeId, renterId } of stops) {
      this.bus.publish('node.changed', { nodeId });
      this.bus.publish('outbox.appended', { accountId: renterId });
    }
  }

  /** Deletes rentals whose TTL is over. */
  async deleteExpired(): Promise<void> {
    await this.#decideAll(await findExpired(this.db, this.clock.now()), (rental, now) =>
      rental.ttlExpiresAt !== null && rental.ttlExpiresAt <= now
        ? { event: { type: 'delete_decided', reason: 'ttl_expired' } }
        : null,
    );
  }

  /** Stops running rentals whose SSH port does not answer although their node does. */
  async stopUnprovable(): Promise<void> {
    const now = this.clock.nowMs();
    const limits = {
      failingSince: new Date(now - this.config.probeFailStopMs),
      probedSince: new Date(now - this.gateway.probeMaxAgeMs),
    };
    await this.#decideAll(await findUnprovable(this.db, limits), (rental) =>
      rental.status === 'RUNNING' ? { event: { type: 'stop_decided', reason: 'probe_timeout' } } : null,
    );
  }

  /** Ends the rentals of nodes that are given up. */
  async endLost(): Promise<void> {
    await this.#decideAll(await findLost(this.db), () => ({ event: { type: 'host_lost' } }));
  }

  /** Lets rentals be as healthy as their nodes; of one node, or of all. */
  async followNodes(nodeId: string | null): Promise<void> {
    const changes = await followNodes(this.db, nodeId, this.clock.now());
    for (const { renterId } of changes) this.bus.publish('outbox.appended', { accountId: renterId });
  }

  async #decideAll(rentalIds: readonly string[], decide: Decide): Promise<void> {
    for (const rentalId of rentalIds) await this.#decide(rentalId, decide);
  }

  /** One rental that cannot be decided does not keep the others from being. */
  async #decide(rentalId: string, decide: Decide): Promise<void> {
    await this.life
      .decide(rentalId, decide)
      .catch((error: unknown) => this.logger.error('rental.decision_failed', error, { rentalId }));
  }
}
