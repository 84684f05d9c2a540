/** A stretch of time that belongs to `key`: a rental or a part of the platform. Epoch milliseconds; it ends before `toMs`. */
export interface Span {
  readonly key: string;
  readonly fromMs: number;
  readonly toMs: number;
}

/** A span that is stored. */
export interface StoredSpan extends Span {
  readonly id: string;
}

/** What has to be written so that the stored spans of every key are the union of all, each disjoint from the others. */
export interface WindowChanges {
  readonly inserted: readonly Span[];
  readonly extended: readonly StoredSpan[];
  readonly removed: readonly string[];
}

/**
 * Adds spans to stored ones. Spans that overlap or touch become one. Since the result is a union, neither the order nor
 * the doubling of reports changes it. `stored` must hold every stored span that an added one overlaps or touches.
 */
export function mergeSpans(stored: readonly StoredSpan[], added: readonly Span[]): WindowChanges {
  const changes = { inserted: [] as Span[], extended: [] as StoredSpan[], removed: [] as string[] };
  const all: (Span & { id?: string })[] = [...stored, ...added];
  for (const group of connectedGroups(all)) {
    const union = { key: group.key, fromMs: group.fromMs, toMs: group.toMs };
    const [kept, ...others] = group.members.filter((member): member is StoredSpan => member.id !== undefined);
    if (!kept) changes.inserted.push(union);
    else if (kept.fromMs !== union.fromMs || kept.toMs !== union.toMs) changes.extended.push({ ...union, id: kept.id });
    changes.removed.push(...others.map((other) => other.id));
  }
  return changes;
}

interface Group extends Span {
  readonly members: (Span & { id?: string })[];
}

function connectedGroups(spans: readonly (Span & { id?: string })[]): Group[] {
  const ordered = spans.toSorted((a, b) => (a.key === b.key ? a.fromMs - b.fromMs : a.key < b.key ? -1 : 1));
  const groups: Group[] = [];
  for (const span of ordered) {
    const last = groups.at(-1);
    if (last && last.key === span.key && span.fromMs <= last.toMs) {
      groups[groups.length - 1] = { ...last, toMs: Math.max(last.toMs, span.toMs), members: [...last.members, span] };
    } else {
      groups.push({ key: span.key, fromMs: span.fromMs, toMs: span.toMs, members: [span] });
    }
  }
  return groups;
}
