import type { GuardLease, GuardProbe } from '@dcompute/shared-types';
import { Limiter } from './limiter.js';
import { EAGER_LIMIT_MS, eagerDelayMs, regularDelayMs } from './probe-pace.js';
import { type ProbeOutcome, probeSsh } from './probe-ssh.js';

const CONCURRENT_PROBES = 64;
/** frps itself waits up to 10 s for a node to answer a new connection. */
const PROBE_TIMEOUT_MS = 10_000;
const EAGER_TIMEOUT_MS = 2_000;

/** A live lease of an SSH port. */
export type SshLease = GuardLease & { readonly port: number; readonly sshHostKeyFingerprint: string };

export function isSshLease(lease: GuardLease): lease is SshLease {
  return (
    lease.state === 'live' && lease.protocol === 'tcp' && lease.port !== null && lease.sshHostKeyFingerprint !== null
  );
}

export interface ProberPorts {
  readonly host: string;
  readonly intervalMs: number;
  /** Whether the proxy server itself answers: while it does not, a failed probe says nothing about an instance. */
  readonly isServerUp: () => Promise<boolean>;
  /** Takes one probe; `urgent` when somebody waits for it. */
  readonly report: (probe: GuardProbe, urgent: boolean) => void;
}

interface Watch {
  lease: SshLease;
  timer: NodeJS.Timeout | undefined;
  /** Ends the probe under way. */
  current: AbortController;
  /** Until when probes are eager; 0 when they are regular. */
  eagerUntil: number;
  attempt: number;
  failureReportedAt: number;
}

/**
 * Proves from outside that instances can be reached: eagerly from the moment a node may open the port until the first good
 * banner, then at the regular interval.
 */
export class Prober {
  readonly #watches = new Map<string, Watch>();
  readonly #limiter = new Limiter(CONCURRENT_PROBES);
  #stopped = false;

  constructor(private readonly ports: ProberPorts) {}

  /**
   * Watches a lease. `openAlready`: its port may be open, so that regular probes start now; else they wait for `hurry`.
   * Of a lease that is watched only the facts are renewed.
   */
  watch(lease: SshLease, openAlready: boolean): void {
    const known = this.#watches.get(lease.leaseId);
    if (known) {
      known.lease = lease;
      return;
    }
    const watch: Watch = {
      lease,
      timer: undefined,
      current: new AbortController(),
      eagerUntil: 0,
      attempt: 0,
      failureReportedAt: 0,
    };
    this.#watches.set(lease.leaseId, watch);
    if (openAlready) this.#schedule(watch, this.ports.intervalMs * Math.random());
  }

  unwatch(leaseId: string): void {
    const watch = this.#watches.get(leaseId);
    if (!watch) return;
    this.#watches.delete(leaseId);
    clearTimeout(watch.timer);
    watch.current.abort();
  }

  /** The port of a lease is being opened: probe it as fast as it can be ready. */
  hurry(leaseId: string): void {
    const watch = this.#watches.get(leaseId);
    if (!watch) return;
    watch.current.abort();
    watch.eagerUntil = Date.now() + EAGER_LIMIT_MS;
    watch.attempt = 0;
    this.#schedule(watch, eagerDelayMs(0));
  }

  stop(): void {
    this.#stopped = true;
    for (const leaseId of this.#watches.keys()) this.unwatch(leaseId);
  }

  #schedule(watch: Watch, delayMs: number): void {
    if (this.#stopped) return;
    clearTimeout(watch.timer);
    watch.timer = setTimeout(() => void this.#probe(watch), delayMs);
  }

  async #probe(watch: Watch): Promise<void> {
    const eager = watch.eagerUntil > Date.now();
    const current = new AbortController();
    watch.current = current;
    const { host } = this.ports;
    const { port, sshHostKeyFingerprint: fingerprint } = watch.lease;
    const timeoutMs = eager ? EAGER_TIMEOUT_MS : PROBE_TIMEOUT_MS;
    const outcome = await this.#limiter.run(eager, async () =>
      current.signal.aborted ? null : await probeSsh({ host, port, fingerprint, timeoutMs }, current.signal),
    );
    if (outcome === null || current.signal.aborted) return;
    const counts = outcome.failure === null || (await this.ports.isServerUp());
    if (current.signal.aborted) return;
    if (counts) this.#report(watch, outcome, eager);
    this.#scheduleNext(watch, outcome, eager);
  }

  /** Failures while a tunnel comes up are expected: they are told at the regular pace only. */
  #report(watch: Watch, { failure, durationMs }: ProbeOutcome, eager: boolean): void {
    const now = Date.now();
    if (failure !== null) {
      if (eager && now - watch.failureReportedAt < this.ports.intervalMs) return;
      watch.failureReportedAt = now;
    }
    const { leaseId, rentalId } = watch.lease;
    const probe = { leaseId, rentalId, at: new Date(now).toISOString(), ok: failure === null, durationMs };
    this.ports.report(failure === null ? probe : { ...probe, failure }, eager && failure === null);
  }

  #scheduleNext(watch: Watch, { failure }: ProbeOutcome, eager: boolean): void {
    if (failure === null) watch.eagerUntil = 0;
    watch.attempt += 1;
    const stayEager = eager && failure !== null;
    this.#schedule(
      watch,
      stayEager ? eagerDelayMs(watch.attempt) : regularDelayMs(this.ports.intervalMs, Math.random()),
    );
  }
}
