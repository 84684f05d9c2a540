import { setTimeout as delay } from 'node:timers/promises';
import type { GuardProbe } from '@dcompute/shared-types';
import type { Logger } from '../../infra/logger.js';
import type { ProbeSpool } from './probe-spool.js';

const BATCH = 1_000;
const FLUSH_MS = 1_000;
/** While the platform is away: tried again and written to disk so often. */
const AWAY_MS = 5_000;
/** Without anything to report, an empty report says that the guard is alive. */
const ALIVE_MS = 30_000;

export interface ProbeReporterPorts {
  readonly spool: ProbeSpool;
  /** Throws while the platform is away. */
  readonly send: (probes: readonly GuardProbe[]) => Promise<void>;
  readonly logger: Logger;
}

/** Brings probes to the platform in batches: urgent ones at once, the others every second. */
export class ProbeReporter {
  readonly #stopping = new AbortController();
  #urgent = new AbortController();
  #loop: Promise<void> | undefined;
  #isAway = false;
  #reportedAt = 0;

  constructor(private readonly ports: ProbeReporterPorts) {}

  start(): void {
    this.#loop ??= this.#run();
  }

  add(probe: GuardProbe, urgent: boolean): void {
    this.ports.spool.add(probe);
    if (urgent) this.#urgent.abort();
  }

  /** Sends or stores what is left. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
    if (!this.#isAway) await this.#flush();
    await this.ports.spool.save();
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const woken = AbortSignal.any([this.#stopping.signal, this.#urgent.signal]);
      await delay(this.#isAway ? AWAY_MS : FLUSH_MS, undefined, { signal: woken }).catch(() => undefined);
      if (this.#urgent.signal.aborted) this.#urgent = new AbortController();
      if (!this.#stopping.signal.aborted) await this.#flush();
    }
  }

  async #flush(): Promise<void> {
    const { spool, send, logger } = this.ports;
    try {
      do {
        const batch = spool.first(BATCH);
        if (batch.length === 0 && Date.now() - this.#reportedAt < ALIVE_MS) break;
        await send(batch);
        spool.confirm(batch);
        this.#reportedAt = Date.now();
      } while (spool.size > 0);
      if (this.#isAway) await spool.save();
      this.#isAway = false;
    } catch (error) {
      if (!this.#isAway) logger.error('guard.probes_not_reported', error, { waiting: spool.size });
      this.#isAway = true;
      await spool.save();
    }
  }
}
