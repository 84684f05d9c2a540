import { setTimeout as delay } from 'node:timers/promises';
import type { GuardLease } from '@dcompute/shared-types';
import type { Logger } from '../../infra/logger.js';
import { wireNameOf } from './lease-book.js';

const LOOK_MS = { first: 500, growth: 1.5, most: 30_000 };
const IDLE_MS = 250;
/** After frps or the platform did not answer. */
const FAILED_MS = 2_000;
const REPORT_BATCH = 1_000;

export interface ClosedPortsPorts {
  /** Throws while frps does not answer. */
  readonly isOpen: (wireName: string) => Promise<boolean>;
  /** Throws while the platform is away. */
  readonly report: (leaseIds: readonly string[]) => Promise<void>;
  readonly onReported: (leaseIds: readonly string[]) => void;
  readonly logger: Logger;
}

interface Pending {
  readonly lease: GuardLease;
  looks: number;
  dueAt: number;
  closed: boolean;
}

/**
 * Watches the ports of revoked leases until frps shows them closed, and tells the platform: before that none of them is
 * leased again. The first look comes late enough for a NewProxy that was allowed just before the revocation.
 */
export class ClosedPorts {
  readonly #pending = new Map<string, Pending>();
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(private readonly ports: ClosedPortsPorts) {}

  watch(lease: GuardLease): void {
    if (this.#pending.has(lease.leaseId)) return;
    this.#pending.set(lease.leaseId, { lease, looks: 0, dueAt: Date.now() + LOOK_MS.first, closed: false });
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const failed = await this.#look().then(
        () => false,
        (error: unknown) => {
          this.ports.logger.error('guard.closed_ports_failed', error);
          return true;
        },
      );
      await delay(failed ? FAILED_MS : IDLE_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #look(): Promise<void> {
    const now = Date.now();
    const due = [...this.#pending.values()].filter((pending) => pending.dueAt <= now).slice(0, REPORT_BATCH);
    for (const pending of due) {
      pending.looks += 1;
      pending.dueAt = now + Math.min(LOOK_MS.most, LOOK_MS.first * LOOK_MS.growth ** pending.looks);
      pending.closed ||= !(await this.ports.isOpen(wireNameOf(pending.lease)));
    }
    const closed = due.filter((pending) => pending.closed).map((pending) => pending.lease.leaseId);
    if (closed.length === 0) return;
    await this.ports.report(closed);
    for (const leaseId of closed) this.#pending.delete(leaseId);
    this.ports.onReported(closed);
  }
}
