import type { StartCase } from '../case.ts';

const SHORT_PHASES = {
  PHASE_SCHEDULED_MS: '5000',
  PHASE_PULLING_MS: '5000',
  PHASE_CREATING_MS: '5000',
  PHASE_STARTING_MS: '5000',
  PHASE_PROBING_MS: '5000',
};

/** Starts that cannot come to their end: each has a deadline. */
export const START_CASES: readonly StartCase[] = [
  {
    name: 'start: pull from a registry that stalls',
    starting: { frozen: [], stalledRegistry: true },
    reasons: ['pull_timeout'],
    env: SHORT_PHASES,
    gate: true,
  },
  {
    name: 'start: Docker paused',
    starting: { frozen: ['dockerd'] },
    reasons: ['pull_timeout', 'phase_timeout', 'create_failed', 'start_failed'],
    env: SHORT_PHASES,
  },
  {
    name: 'start: a banner that never comes',
    starting: { frozen: ['frps'] },
    reasons: ['probe_timeout', 'phase_timeout'],
    env: SHORT_PHASES,
    gate: true,
  },
  {
    name: 'start: node vanishes before it hears of the rental',
    starting: { frozen: [], vanishesIn: 'scheduled' },
    reasons: ['phase_timeout'],
    env: SHORT_PHASES,
  },
  {
    name: 'start: node vanishes while it pulls',
    starting: { frozen: [], stalledRegistry: true, vanishesIn: 'pulling' },
    reasons: ['pull_timeout'],
    env: SHORT_PHASES,
  },
  {
    name: 'start: node vanishes while Docker is paused',
    starting: { frozen: ['dockerd'], vanishesIn: 'creating' },
    reasons: ['pull_timeout', 'phase_timeout', 'create_failed', 'start_failed'],
    env: SHORT_PHASES,
  },
  {
    name: 'start: node vanishes while it is probed',
    starting: { frozen: ['frps'], vanishesIn: 'probing' },
    reasons: ['probe_timeout', 'phase_timeout'],
    env: SHORT_PHASES,
  },
];
