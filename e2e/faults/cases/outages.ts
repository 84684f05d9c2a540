import type { FaultCase } from '../case.ts';
import { CONVERGE_MS } from '../limits.ts';

/** The platform or the node is away for longer than anything bridges. */
export const OUTAGE_CASES: readonly FaultCase[] = [
  {
    // HOLD_MINUTES is 1 in the whole table.
    name: 'backend away for 70 s, longer than the hold pays for',
    steps: [{ do: 'away', parts: ['backend'], ms: 70_000 }],
    session: 'lives',
    logIn: true,
    freeOfCharge: true,
  },
  {
    name: 'agent away for 20 s',
    steps: [{ do: 'away', parts: ['agent'], ms: 20_000 }],
    session: 'lives',
    logIn: true,
    freeOfCharge: true,
  },
  {
    name: 'PostgreSQL away for 20 s',
    steps: [{ do: 'away', parts: ['postgres'], ms: 20_000 }],
    session: 'lives',
    logIn: true,
  },
  {
    name: 'guard away for 20 s',
    steps: [{ do: 'away', parts: ['guard'], ms: 20_000 }],
    session: 'lives',
    freeOfCharge: true,
  },
  {
    name: 'backend killed three times in the middle of a billing tick',
    steps: [{ do: 'kill-in-tick', times: 3 }],
    session: 'lives',
  },
  {
    name: 'offline grace (10 s) runs out while the backend is away',
    env: { OFFLINE_GRACE_MS: '10000' },
    steps: [{ do: 'away', parts: ['backend'], ms: 20_000 }],
    session: 'ends',
    endsBy: 'offline_grace_expired',
    freeOfCharge: true,
  },
  {
    name: 'time limit (60 s) runs out while the backend is away',
    rent: { ttlSeconds: 60 },
    steps: [{ do: 'away', parts: ['backend'], ms: 65_000 }],
    session: 'ends',
    endsBy: 'ttl_expired',
    freeOfCharge: true,
  },
  {
    name: 'node rebooted with a running rental',
    steps: [{ do: 'reboot-node' }],
    session: 'ends',
    runs: 2,
    convergeMs: CONVERGE_MS + 10_000,
  },
  {
    name: 'node rebooted with a running and a stopped rental',
    steps: [{ do: 'rent-another' }, { do: 'stop-another' }, { do: 'reboot-node' }],
    session: 'ends',
    runs: 2,
    convergeMs: CONVERGE_MS + 10_000,
  },
];
