import type { FaultCase } from '../case.ts';
import { CONVERGE_MS } from '../limits.ts';

/** Messages, databases, identities, disks and clocks that are not what they should be. */
export const STATE_CASES: readonly FaultCase[] = [
  {
    name: 'every second heartbeat and acknowledgement lost',
    steps: [
      {
        do: 'messages',
        rules: [
          { from: 'agent', events: ['heartbeat'], verdict: 'drop', every: 2 },
          { from: 'backend', events: ['heartbeat_ack'], verdict: 'drop', every: 2 },
        ],
        ms: 12_000,
      },
    ],
    session: 'lives',
    logIn: true,
    gate: true,
  },
  {
    name: 'every message between agent and backend doubled',
    steps: [
      {
        do: 'messages',
        rules: [
          { from: 'agent', verdict: 'double', every: 1 },
          { from: 'backend', verdict: 'double', every: 1 },
        ],
        ms: 12_000,
      },
    ],
    session: 'lives',
    logIn: true,
    gate: true,
  },
  {
    name: 'every second message overtaken by the next',
    steps: [
      {
        do: 'messages',
        rules: [
          { from: 'agent', verdict: 'overtaken', every: 2 },
          { from: 'backend', verdict: 'overtaken', every: 2 },
        ],
        ms: 12_000,
      },
    ],
    session: 'lives',
    logIn: true,
    gate: true,
  },
  {
    name: 'agent killed with a journal full of segments that nobody acknowledged',
    env: { USAGE_SEGMENT_MS: '100' },
    steps: [
      {
        do: 'messages',
        rules: [{ from: 'backend', events: ['heartbeat_ack'], verdict: 'drop', every: 1 }],
        ms: 30_000,
      },
      { do: 'kill', parts: ['agent'] },
    ],
    session: 'lives',
    logIn: true,
  },
  {
    name: 'older database restored: a newer rental lives until the operator confirms',
    steps: [
      { do: 'save-database' },
      { do: 'rent-another' },
      { do: 'restore-database' },
      { do: 'expect-frozen' },
      { do: 'confirm-node' },
    ],
    session: 'lives',
    convergeMs: CONVERGE_MS,
  },
  {
    name: 'second machine under the identity of the node',
    steps: [{ do: 'second-agent', boot: 'other', ms: 8_000 }],
    session: 'lives',
    logIn: true,
  },
  {
    name: 'second agent of the node on the same machine',
    steps: [{ do: 'second-agent', boot: 'same', ms: 8_000 }],
    session: 'lives',
    logIn: true,
  },
  {
    name: 'no byte free where the agent keeps its journal, for 10 s',
    steps: [{ do: 'fill-disk', of: 'agent', ms: 10_000 }],
    session: 'lives',
    logIn: true,
  },
  {
    name: 'no byte free where the guard keeps its book, for 10 s',
    steps: [{ do: 'fill-disk', of: 'guard', ms: 10_000 }],
    session: 'lives',
    logIn: true,
  },
  {
    name: 'wall clock of the node set an hour ahead',
    steps: [{ do: 'step-clock', seconds: 3_600 }],
    session: 'lives',
    logIn: true,
  },
  {
    name: 'wall clock of the node set a day back',
    steps: [{ do: 'step-clock', seconds: -86_400 }],
    session: 'lives',
    logIn: true,
  },
];
