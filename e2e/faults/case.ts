import type { Verdict } from '../harness/fault-proxy.ts';

/** A process that can be killed and frozen. */
export type Part = 'backend' | 'agent' | 'frpc' | 'frps' | 'guard' | 'postgres' | 'dockerd';

/** Messages that the proxy between agent and gateway treats alike. */
export interface MessageRule {
  readonly from: 'agent' | 'backend';
  /** Event names; every event where left out. */
  readonly events?: readonly string[];
  readonly verdict: Verdict;
  /** Every how many-th of them; 1 is all. */
  readonly every: number;
}

/** One thing that happens to the market. Durations in milliseconds. */
export type Step =
  /** SIGKILL; the launcher (for frpc the agent) starts it again by itself. */
  | { readonly do: 'kill'; readonly parts: readonly Part[] }
  /** SIGKILL, and nobody starts it before `ms` have passed. */
  | { readonly do: 'away'; readonly parts: readonly Part[]; readonly ms: number }
  /** SIGSTOP, and SIGCONT after `ms`. */
  | { readonly do: 'freeze'; readonly parts: readonly Part[]; readonly ms: number }
  | { readonly do: 'messages'; readonly rules: readonly MessageRule[]; readonly ms: number }
  | { readonly do: 'pause'; readonly ms: number }
  /** SIGKILL to the backend while its billing tick waits for a lock in the middle of its transaction. */
  | { readonly do: 'kill-in-tick'; readonly times: number }
  | { readonly do: 'reboot-node' }
  /** Keeps a copy of the database as it is. */
  | { readonly do: 'save-database' }
  /** Puts that copy in the place of the database. */
  | { readonly do: 'restore-database' }
  /** A further rental of the same renter on the same node. */
  | { readonly do: 'rent-another' }
  /** Stops the further rental by its renter. */
  | { readonly do: 'stop-another' }
  /** The node must be frozen by the backend, with every container of it still running. */
  | { readonly do: 'expect-frozen' }
  | { readonly do: 'confirm-node' }
  /** A second agent on a copy of the node's state, under another boot id or the same. */
  | { readonly do: 'second-agent'; readonly boot: 'other' | 'same'; readonly ms: number }
  /** No byte is free where the part writes, for `ms`. */
  | { readonly do: 'fill-disk'; readonly of: 'agent' | 'guard'; readonly ms: number }
  /** The wall clock of the agent jumps by `seconds` while it runs. */
  | { readonly do: 'step-clock'; readonly seconds: number };

/** How an open SSH session comes through. */
export type SessionFate =
  /** Open and answering all the time. */
  | 'lives'
  /** Open, with a silence no longer than the fault. */
  | 'pauses'
  /** The fault is in its path: it may end, and a new log-in must work. */
  | 'may end'
  /** The instance ends with it. */
  | 'ends';

/** A fault during a rental with an open SSH session, and what must hold. */
export interface FaultCase {
  readonly name: string;
  readonly steps: readonly Step[];
  readonly session: SessionFate;
  /** New SSH log-ins work while the fault lasts, too. */
  readonly logIn?: boolean;
  /** Settings of the backend for this case. */
  readonly env?: Readonly<Record<string, string>>;
  readonly rent?: { readonly ttlSeconds?: number };
  /** The rental ends by itself, for this reason; without it, it must go on. */
  readonly endsBy?: string;
  /** A stopped container that its node may start again: the counter has as many runs. */
  readonly runs?: number;
  /** Longest wait for everything to be as wished again, from the moment when the fault was lifted. */
  readonly convergeMs?: number;
  /** Nothing may be charged for the time of the fault beyond what one heartbeat and one probe cover. */
  readonly freeOfCharge?: boolean;
  /** The database that knew of the charge was replaced by an older one. */
  readonly restored?: boolean;
  /** Part of the short selection that every change has to pass. */
  readonly gate?: boolean;
}

/** A fault during the start of a rental, which must end with a reason, cost nothing, and leave nothing behind. */
export interface StartCase {
  readonly name: string;
  readonly starting: {
    /** What is wrong before the rental is made. */
    readonly frozen: readonly Part[];
    /** The image comes from a registry whose answers stop. */
    readonly stalledRegistry?: boolean;
    /** When the rental is in this phase, the node vanishes. */
    readonly vanishesIn?: 'scheduled' | 'pulling' | 'creating' | 'starting' | 'probing';
  };
  /** Any of these reasons, as a phase may end in more than one way. */
  readonly reasons: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly gate?: boolean;
}

/** What a case showed. Red where `failures` has anything. */
export interface Row {
  readonly name: string;
  readonly renterSaw: string;
  readonly convergedMs: number | null;
  readonly charge: string;
  readonly failures: readonly string[];
  readonly tookMs: number;
}
