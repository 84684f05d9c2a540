import { type BackendMessage, type DesiredInstance, LIMITS } from '@dcompute/shared-types';

export type DesiredMessage = Extract<BackendMessage, { event: 'desired' }>;

/** Room for the envelope and the head of a part. */
const HEAD_BYTES = 1024;

/**
 * Cuts a desired list into parts that keep both limits of a message: its items and its bytes. An empty list is one empty
 * part. Throws a RangeError for a list that no number of allowed parts can hold.
 */
export function desiredParts(list: {
  rev: number;
  frozen: boolean;
  items: readonly DesiredInstance[];
}): DesiredMessage[] {
  const groups: DesiredInstance[][] = [[]];
  let bytes = HEAD_BYTES;
  for (const item of list.items) {
    const size = Buffer.byteLength(JSON.stringify(item)) + 1;
    const group = groups.at(-1);
    const full = !group || group.length >= LIMITS.desiredItemsPerPart || bytes + size > LIMITS.agentMessageBytes;
    if (group && (!full || group.length === 0)) {
      group.push(item);
      bytes += size;
    } else {
      groups.push([item]);
      bytes = HEAD_BYTES + size;
    }
  }
  if (groups.length > LIMITS.desiredParts) {
    throw new RangeError(`a desired list of ${list.items.length} items does not fit into ${LIMITS.desiredParts} parts`);
  }
  const { rev, frozen } = list;
  return groups.map((items, index) => ({
    event: 'desired',
    data: { rev, part: index + 1, parts: groups.length, frozen, items },
  }));
}
