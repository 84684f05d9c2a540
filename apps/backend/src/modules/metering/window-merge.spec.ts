import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Span, type StoredSpan, mergeSpans } from './window-merge.js';

/** Stores what a merge says, as the database would. */
function store(stored: readonly StoredSpan[], added: readonly Span[]): StoredSpan[] {
  const changes = mergeSpans(stored, added);
  const changed = new Map(changes.extended.map((span) => [span.id, span]));
  return [
    ...stored.filter((span) => !changes.removed.includes(span.id)).map((span) => changed.get(span.id) ?? span),
    ...changes.inserted.map((span, index) => ({ ...span, id: `${stored.length}-${index}-${span.key}-${span.fromMs}` })),
  ];
}

const bare = (spans: readonly StoredSpan[]): string[] =>
  spans.map(({ key, fromMs, toMs }) => `${key} ${fromMs}..${toMs}`).toSorted();

const spans = fc.array(
  fc
    .record({ key: fc.constantFrom('a', 'b'), fromMs: fc.nat(200), length: fc.integer({ min: 1, max: 30 }) })
    .map(({ key, fromMs, length }) => ({ key, fromMs, toMs: fromMs + length })),
  { maxLength: 20 },
);

describe('union of windows', () => {
  it('a span that continues a window extends it', () => {
    const window = { id: 'w', key: 'a', fromMs: 0, toMs: 90 };
    expect(mergeSpans([window], [{ key: 'a', fromMs: 30, toMs: 120 }])).toEqual({
      inserted: [],
      extended: [{ ...window, toMs: 120 }],
      removed: [],
    });
  });

  it('a late span that fills the gap between two windows makes them one', () => {
    const stored = [
      { id: 'w1', key: 'a', fromMs: 0, toMs: 90 },
      { id: 'w2', key: 'a', fromMs: 120, toMs: 210 },
    ];
    expect(mergeSpans(stored, [{ key: 'a', fromMs: 60, toMs: 150 }])).toEqual({
      inserted: [],
      extended: [{ id: 'w1', key: 'a', fromMs: 0, toMs: 210 }],
      removed: ['w2'],
    });
  });

  it('a doubled report changes nothing', () => {
    fc.assert(
      fc.property(spans, (added) => {
        const once = store([], added);
        expect(mergeSpans(once, added)).toEqual({ inserted: [], extended: [], removed: [] });
      }),
    );
  });

  it('order and batching of reports do not change the windows', () => {
    fc.assert(
      fc.property(spans, fc.nat(20), (added, cut) => {
        const together = store([], added);
        const apart = store(store([], added.slice(cut)), added.slice(0, cut).toReversed());
        expect(bare(apart)).toEqual(bare(together));
      }),
    );
  });
});
