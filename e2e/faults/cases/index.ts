import type { FaultCase, StartCase } from '../case.ts';
import { OUTAGE_CASES } from './outages.ts';
import { PART_CASES } from './parts.ts';
import { START_CASES } from './starts.ts';
import { STATE_CASES } from './state.ts';

/** The whole table, in the order in which it is run. */
export const CASES: readonly (FaultCase | StartCase)[] = [
  ...PART_CASES,
  ...OUTAGE_CASES,
  ...STATE_CASES,
  ...START_CASES,
];

/** The cases whose name has all of `words`; of the short selection only, where asked for. */
export function chooseCases(words: readonly string[], gateOnly: boolean): (FaultCase | StartCase)[] {
  return CASES.filter(
    ({ name, gate }) =>
      (!gateOnly || gate === true) && words.every((word) => name.toLowerCase().includes(word.toLowerCase())),
  );
}
