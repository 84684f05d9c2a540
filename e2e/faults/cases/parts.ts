import type { FaultCase, Part } from '../case.ts';
import { CONVERGE_MS, FRPC_BACK_OFF_MS } from '../limits.ts';

const PARTS: readonly Part[] = ['backend', 'agent', 'frpc', 'frps', 'guard', 'postgres', 'dockerd'];
/** What an open session runs through: without one of them it ends. */
const IN_ITS_PATH: readonly Part[] = ['frpc', 'frps'];
/** What a new log-in needs besides: the guard is asked about each. */
const FOR_A_LOG_IN: readonly Part[] = [...IN_ITS_PATH, 'guard'];
const FREEZE_MS = 10_000;
const GATE: readonly string[] = [
  'backend killed',
  'agent killed',
  'postgres killed',
  'guard killed',
  'backend frozen for 10 s',
];

const without = (parts: readonly Part[], needed: readonly Part[]): boolean =>
  !parts.some((part) => needed.includes(part));
const convergeMs = (parts: readonly Part[]): number =>
  CONVERGE_MS + (without(parts, IN_ITS_PATH) ? 0 : FRPC_BACK_OFF_MS);

function killed(parts: readonly Part[]): FaultCase {
  const name = `${parts.join(' and ')} killed`;
  return {
    name,
    steps: [{ do: 'kill', parts }],
    session: without(parts, IN_ITS_PATH) ? 'lives' : 'may end',
    logIn: without(parts, FOR_A_LOG_IN),
    convergeMs: convergeMs(parts),
    gate: GATE.includes(name),
  };
}

function frozen(part: Part): FaultCase {
  const name = `${part} frozen for ${FREEZE_MS / 1000} s`;
  return {
    name,
    steps: [{ do: 'freeze', parts: [part], ms: FREEZE_MS }],
    session: without([part], IN_ITS_PATH) ? 'lives' : 'pauses',
    logIn: without([part], FOR_A_LOG_IN),
    convergeMs: convergeMs([part]),
    gate: GATE.includes(name),
  };
}

/** Each part killed, each frozen, and each pair killed at once. */
export const PART_CASES: readonly FaultCase[] = [
  ...PARTS.map((part) => killed([part])),
  ...PARTS.map(frozen),
  ...PARTS.flatMap((one, i) => PARTS.slice(i + 1).map((other) => killed([one, other]))),
];
