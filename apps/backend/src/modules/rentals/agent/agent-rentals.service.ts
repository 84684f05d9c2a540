import { Inject, Injectable } from '@nestjs/common';
import type { GpuState, InstanceReport, InstanceSpec, RunUntil } from '@dcompute/shared-types';
import { GATEWAY_CONFIG, type GatewayConfig } from '../../../config/index.js';
import { Bus, Clock, Database, Logger, SecretsVault } from '../../../infra/index.js';
import type { NodeFence } from '../../nodes/index.js';
import { OffersService } from '../../offers/index.js';
import { TunnelsService } from '../../tunnels/index.js';
import { FencedError } from '../life/session-fence.js';
import { freeCleanGpus } from '../life/allocations.js';
import { RentalLife } from '../life/rental-life.js';
import { lockRental } from '../life/rental-record.js';
import { type DesiredList, desiredChangesOf, desiredListOf } from './desired-list.js';
import { type Hint, hintsOf, placementsToStart } from './hints.js';
import { openSpecs } from './open-specs.js';
import { eventOfReport, isCurrentReport } from './report-event.js';
import { findReported, isNews, recordObservation } from './reported-placements.js';
import { runUntilOf } from './run-until.js';

/** Rentals as the agents of nodes see them: what should be, and what they say there is. For the agent gateway. */
@Injectable()
export class AgentRentals {
  constructor(
    private readonly db: Database,
    private readonly clock: Clock,
    private readonly bus: Bus,
    private readonly vault: SecretsVault,
    private readonly logger: Logger,
    private readonly tunnels: TunnelsService,
    private readonly offers: OffersService,
    private readonly life: RentalLife,
    @Inject(GATEWAY_CONFIG) private readonly gateway: GatewayConfig,
  ) {}

  /** Everything that a node should have. Null for an unknown node. */
  async desiredList(nodeId: string): Promise<DesiredList | null> {
    return await desiredListOf(this.db, this.tunnels, nodeId, this.clock.now());
  }

  /** The complete spec of a placement, secrets included. Null unless it is a placement of this node with this very spec. */
  async specFor(nodeId: string, placementId: string, specSha: string): Promise<InstanceSpec | null> {
    const spec = (await openSpecs(this.db, this.vault, nodeId, [placementId])).get(placementId);
    return spec?.spec_sha === specSha ? spec : null;
  }

  /** What changed on a node after `rev`, as messages that it may get at once. */
  async hintsSince(nodeId: string, rev: number): Promise<Hint[]> {
    const of = { nodeId, sinceRev: rev, now: this.clock.now() };
    const changes = await desiredChangesOf(this.db, this.tunnels, of);
    if (!changes) return [];
    const specs = await openSpecs(this.db, this.vault, nodeId, placementsToStart(changes.placements));
    return hintsOf(changes, specs);
  }

  /**
   * Takes an agent's reports in their order, each in a transaction of its own that holds only while the session is its
   * node's. Doubled and outdated reports change nothing. A report that fails does not keep the others from being taken;
   * the first failure is thrown at the end, so that the sender is not told that all went well. Returns false, having
   * taken none that came later, when the session is over. The caller hands over the reports of one session one batch
   * after the other.
   */
  async applyReports(fence: NodeFence, reports: readonly InstanceReport[]): Promise<boolean> {
    if (reports.length === 0) return true;
    const ids = reports.map((report) => report.placement_id);
    const known = await findReported(this.db, fence.nodeId, ids);
    const failures: unknown[] = [];
    for (const report of reports) {
      const placement = known.get(report.placement_id);
      if (!placement) continue;
      // Of several reports on one placement the later ones meet a state that is not read yet.
      const alone = ids.indexOf(report.placement_id) === ids.lastIndexOf(report.placement_id);
      if (alone && !isNews(report, placement)) continue;
      try {
        await this.#applyReport(fence, report, placement.rentalId);
      } catch (error) {
        if (error instanceof FencedError) return false;
        this.logger.error('rental.report_failed', error, { nodeId: fence.nodeId, rentalId: placement.rentalId });
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
    return true;
  }

  /** Frees the GPUs that the agent reports as clean and that wait for it. Without such GPUs it costs one read. */
  async applyGpuStates(fence: NodeFence, states: readonly GpuState[]): Promise<void> {
    const clean = states.filter((gpu) => gpu.clean && gpu.processes === 0).map((gpu) => gpu.uuid);
    if (clean.length === 0) return;
    const waiting = await this.db.query(
      `SELECT "id" FROM "GpuAllocation"
        WHERE "nodeId" = $1 AND "gpuUuid" = ANY ($2::text[]) AND "state" = 'releasing' AND "releasedAt" IS NULL LIMIT 1`,
      [fence.nodeId, clean],
    );
    if (waiting.length === 0) return;
    await this.db.transaction(async (tx) => {
      const freed = await freeCleanGpus(tx, fence, clean, this.clock.now());
      if (freed > 0) await this.offers.refreshAvailability(tx, [fence.nodeId]);
    });
  }

  /** How long each instance of a node that should run may go on without hearing from us (R10). */
  async runUntil(nodeId: string): Promise<RunUntil[]> {
    return await runUntilOf(this.db, nodeId, this.gateway.offlineGraceMs, this.clock.now());
  }

  async #applyReport(fence: NodeFence, report: InstanceReport, rentalId: string): Promise<void> {
    await this.db.transaction(async (tx) => {
      const rental = await lockRental(tx, rentalId);
      if (!rental || rental.nodeId !== fence.nodeId || !isCurrentReport(report, rental)) return;
      const now = this.clock.now();
      const event = eventOfReport(report);
      const message = report.message ?? null;
      if (event) await this.life.advance(tx, rental, event, { now, actorId: null, message, fence });
      await recordObservation(tx, fence, report, { rentalId, placementId: rental.placementId }, now);
      if (report.pull_progress) {
        tx.afterCommit(() => this.bus.publish('outbox.appended', { accountId: rental.renterId }));
      }
    });
  }
}
