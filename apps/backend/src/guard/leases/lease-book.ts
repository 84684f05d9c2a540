import type { GuardLease, GuardNode, GuardSync } from '@dcompute/shared-types';

/** Everything that a guard decides by, as of one revision. */
export interface BookSnapshot {
  readonly rev: number;
  readonly leases: readonly GuardLease[];
  readonly nodes: readonly GuardNode[];
}

/** What a sync changed. */
export interface BookChanges {
  readonly live: readonly GuardLease[];
  readonly revoked: readonly GuardLease[];
  /** Ids of leases that are live no more, or that moved. */
  readonly ended: readonly string[];
  readonly anything: boolean;
}

const NOTHING: BookChanges = { live: [], revoked: [], ended: [], anything: false };

/** The name of a lease's proxy on the wire: frpc puts its user, which is the node's id, before each name. */
export function wireNameOf(lease: Pick<GuardLease, 'nodeId' | 'proxyName'>): string {
  return `${lease.nodeId}.${lease.proxyName}`;
}

/** The live and revoked leases of one proxy server and the token hashes of nodes, in memory. */
export class LeaseBook {
  #rev = 0;
  #leases = new Map<string, GuardLease>();
  #byWireName = new Map<string, GuardLease>();
  #nodes = new Map<string, string | null>();

  get rev(): number {
    return this.#rev;
  }

  /** How many leases are known, revoked ones included. */
  get size(): number {
    return this.#leases.size;
  }

  leaseNamed(wireName: string): GuardLease | undefined {
    return this.#byWireName.get(wireName);
  }

  /** SHA-256 (hex) of a node's tunnel token; null for an evicted node, undefined for an unknown one. */
  tokenHashOf(nodeId: string): string | null | undefined {
    return this.#nodes.get(nodeId);
  }

  revoked(): GuardLease[] {
    return [...this.#leases.values()].filter((lease) => lease.state === 'revoked');
  }

  live(): GuardLease[] {
    return [...this.#leases.values()].filter((lease) => lease.state === 'live');
  }

  snapshot(): BookSnapshot {
    const nodes = [...this.#nodes].map(([nodeId, tunnelTokenHash]) => ({ nodeId, tunnelTokenHash }));
    return { rev: this.#rev, leases: [...this.#leases.values()], nodes };
  }

  restore(snapshot: BookSnapshot): void {
    this.#replace(snapshot);
  }

  /**
   * Takes in an answer to a question for changes after `askedSince`. An answer that is older than what is known is left
   * alone, since two questions may be under way, unless the platform itself fell behind (a restored database).
   */
  apply(sync: GuardSync, askedSince: number): BookChanges {
    if (sync.full) return sync.rev < this.#rev && askedSince <= sync.rev ? NOTHING : this.#replace(sync);
    if (sync.rev <= this.#rev) return NOTHING;
    for (const node of sync.nodes) this.#nodes.set(node.nodeId, node.tunnelTokenHash);
    const ended = sync.leases.filter((lease) => this.#put(lease)).map((lease) => lease.leaseId);
    this.#rev = sync.rev;
    return changesOf(sync.leases, ended);
  }

  /** Drops leases whose ports were reported as closed. */
  forget(leaseIds: readonly string[]): void {
    for (const leaseId of leaseIds) this.#drop(leaseId);
  }

  #replace(sync: BookSnapshot): BookChanges {
    const before = this.#leases;
    this.#leases = new Map();
    this.#byWireName = new Map();
    this.#nodes = new Map(sync.nodes.map((node) => [node.nodeId, node.tunnelTokenHash]));
    for (const lease of sync.leases) this.#put(lease);
    this.#rev = sync.rev;
    const ended = [...before.values()].filter((lease) => !isSameLive(lease, this.#leases.get(lease.leaseId)));
    return changesOf(
      sync.leases,
      ended.map((lease) => lease.leaseId),
    );
  }

  /** Returns whether a lease that was live is so no more, or not in the same place. */
  #put(lease: GuardLease): boolean {
    const before = this.#leases.get(lease.leaseId);
    this.#drop(lease.leaseId);
    if (lease.state !== 'resting') {
      this.#leases.set(lease.leaseId, lease);
      this.#byWireName.set(wireNameOf(lease), lease);
    }
    return before !== undefined && !isSameLive(before, lease);
  }

  #drop(leaseId: string): void {
    const lease = this.#leases.get(leaseId);
    if (!lease) return;
    this.#leases.delete(leaseId);
    if (this.#byWireName.get(wireNameOf(lease)) === lease) this.#byWireName.delete(wireNameOf(lease));
  }
}

function isSameLive(before: GuardLease, now: GuardLease | undefined): boolean {
  return now?.state === 'live' && before.state === 'live' && wireNameOf(before) === wireNameOf(now);
}

function changesOf(leases: readonly GuardLease[], ended: readonly string[]): BookChanges {
  return {
    live: leases.filter((lease) => lease.state === 'live'),
    revoked: leases.filter((lease) => lease.state === 'revoked'),
    ended,
    anything: true,
  };
}
