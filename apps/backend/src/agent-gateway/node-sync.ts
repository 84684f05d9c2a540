import type { RunUntil } from '@dcompute/shared-types';
import type { NodePulse } from '../modules/nodes/index.js';
import type { LiveConnection } from './agent-connection.js';
import { desiredParts } from './desired-parts.js';
import type { GatewayServices } from './gateway-services.js';

/** The offline grace moves with every contact; a value that is at most this old gives away a minute of hours. */
const RUN_UNTIL_MAX_AGE_MS = 60_000;

/**
 * Keeps one node at the present revision: hints at once, the whole desired list when a heartbeat shows that it lags
 * behind. A failing read is logged; the next poll or heartbeat comes soon and does the same.
 */
export class NodeSync {
  /** The latest revision that we know of. */
  #rev: number;
  #toldDraining = false;
  #sent: { rev: number; atMs: number } | undefined;
  #sending: Promise<void> | undefined;
  #looking: Promise<void> | undefined;
  #lookAgain = false;
  #runUntil: { items: readonly RunUntil[]; atMs: number } = { items: [], atMs: 0 };
  #refreshing = false;
  #ready = false;

  constructor(
    private readonly services: GatewayServices,
    private readonly connection: LiveConnection,
  ) {
    this.#rev = connection.session.rev;
  }

  get rev(): number {
    return this.#rev;
  }

  /** The first desired list of the session, and whatever else its agent has to know. Throws when it cannot be read. */
  async begin(): Promise<void> {
    await this.#sendDesired();
    await this.#readRunUntil();
    this.#ready = true;
    this.#tellDraining(this.connection.session.draining);
    // What changed between the reading of the list and now was told to nobody.
    await this.look();
  }

  /** The node's row as a poll saw it: the session may be over, or something may have changed. */
  async takePulse(pulse: NodePulse): Promise<void> {
    const { connection } = this;
    if (pulse.refused) {
      return connection.end(
        'agent.host_key_revoked',
        'The host key was revoked, or its account may not provide nodes.',
      );
    }
    if (pulse.sessionEpoch > connection.session.sessionEpoch) {
      return connection.end('agent.fenced', 'A newer session of this node took over.');
    }
    if (!this.#ready) return;
    this.#tellDraining(pulse.draining);
    if (pulse.rev > this.#rev) await this.#sendHints(pulse.rev);
  }

  /** Something changed: looks at once, and once more when told so meanwhile. */
  async look(): Promise<void> {
    this.#lookAgain = true;
    this.#looking ??= this.#lookUntilQuiet().finally(() => (this.#looking = undefined));
    await this.#looking;
  }

  /** A heartbeat says which revision its node has applied. */
  catchUp(revApplied: number): void {
    if (revApplied >= this.#rev || !this.#ready || this.#sending) return;
    const { services } = this;
    const nowMs = services.clock.nowMs();
    // The list that is on its way gets one interval to be applied.
    if (this.#sent?.rev === this.#rev && nowMs - this.#sent.atMs < services.config.heartbeatIntervalMs) return;
    this.#sendDesired().catch((error: unknown) => this.#logFailure('gateway.desired_failed', error));
  }

  /** How long each instance may go on without us. Never asks the database while a heartbeat waits for its answer. */
  runUntil(): RunUntil[] {
    const ageMs = this.services.clock.nowMs() - this.#runUntil.atMs;
    const { offlineGraceMs } = this.services.config;
    if (this.#runUntil.items.length > 0 && ageMs > Math.min(RUN_UNTIL_MAX_AGE_MS, offlineGraceMs / 10)) {
      void this.#refreshRunUntil();
    }
    return this.#runUntil.items.map((item) => ({ ...item, remaining_ms: Math.max(0, item.remaining_ms - ageMs) }));
  }

  async #lookUntilQuiet(): Promise<void> {
    while (this.#lookAgain) {
      this.#lookAgain = false;
      const [pulse] = await this.services.sessions.pulses([this.connection.session]);
      if (pulse) await this.takePulse(pulse);
    }
  }

  /**
   * Hints are read after the revision they stand for, so that none is missed; one that is sent twice is a duplicate. Should
   * they fail, the node lags behind the revision that is noted first, and its next heartbeat brings the list.
   */
  async #sendHints(rev: number): Promise<void> {
    const sinceRev = this.#rev;
    this.#rev = rev;
    const hints = await this.services.rentals.hintsSince(this.connection.session.nodeId, sinceRev);
    for (const hint of hints) this.connection.send(hint);
    await this.#readRunUntil();
  }

  async #sendDesired(): Promise<void> {
    this.#sending ??= this.#readAndSendDesired().finally(() => (this.#sending = undefined));
    await this.#sending;
  }

  async #readAndSendDesired(): Promise<void> {
    const list = await this.services.rentals.desiredList(this.connection.session.nodeId);
    if (!list) throw new Error(`node ${this.connection.session.nodeId} does not exist`);
    this.#rev = Math.max(this.#rev, list.rev);
    for (const part of desiredParts(list)) {
      if (!this.connection.isOpen) return;
      await this.connection.sendDrained(part);
    }
    this.#sent = { rev: list.rev, atMs: this.services.clock.nowMs() };
  }

  async #refreshRunUntil(): Promise<void> {
    if (this.#refreshing) return;
    this.#refreshing = true;
    try {
      await this.#readRunUntil();
    } catch (error) {
      this.#logFailure('gateway.run_until_failed', error);
    } finally {
      this.#refreshing = false;
    }
  }

  async #readRunUntil(): Promise<void> {
    const atMs = this.services.clock.nowMs();
    this.#runUntil = { items: await this.services.rentals.runUntil(this.connection.session.nodeId), atMs };
  }

  #tellDraining(draining: boolean): void {
    if (draining === this.#toldDraining) return;
    this.#toldDraining = draining;
    this.connection.send({ event: 'drain_node', data: { mode: draining ? 'no_new' : 'undo' } });
  }

  #logFailure(event: string, error: unknown): void {
    this.services.logger.error(event, error, { nodeId: this.connection.session.nodeId });
  }
}
