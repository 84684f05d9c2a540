import { describe, expect, it } from 'vitest';
import { type BeatSpan, foldBeat } from './beat-span.js';

const BRIDGE_MS = 60_000;
const beat = (receivedAtMs: number, bootId = 'boot-a', delayMs = 0) => ({
  bootId,
  bootMs: receivedAtMs - 1_000_000 - delayMs,
  receivedAtMs,
});
const fold = (beats: ReturnType<typeof beat>[]): BeatSpan[] =>
  beats.reduce<BeatSpan[]>((spans, next) => foldBeat(spans, next, BRIDGE_MS), []);

describe('spans of heartbeats', () => {
  it('beats that follow each other are one span', () => {
    expect(fold([beat(2_000_000), beat(2_005_000), beat(2_010_000)])).toEqual([
      { bootId: 'boot-a', firstAtMs: 2_000_000, lastAtMs: 2_010_000, offsetMs: 1_000_000 },
    ]);
  });

  it('silence just under the bridge is bridged, silence of the bridge is not', () => {
    expect(fold([beat(2_000_000), beat(2_059_999)])).toHaveLength(1);
    expect(fold([beat(2_000_000), beat(2_060_000)])).toHaveLength(2);
  });

  it('another boot never continues a span', () => {
    expect(fold([beat(2_000_000), beat(2_005_000, 'boot-b')])).toHaveLength(2);
  });

  it('a clock of the platform that is set back begins a new span: none ends before it begins', () => {
    const spans = fold([beat(2_000_000), beat(2_005_000), beat(1_900_000), beat(1_905_000)]);
    expect(spans.map(({ firstAtMs, lastAtMs }) => [firstAtMs, lastAtMs])).toEqual([
      [2_000_000, 2_005_000],
      [1_900_000, 1_905_000],
    ]);
  });

  it('the offset of a span is that of its least delayed beat', () => {
    expect(fold([beat(2_000_000, 'boot-a', 900), beat(2_005_000, 'boot-a', 2), beat(2_010_000, 'boot-a', 50)])).toEqual(
      [expect.objectContaining({ offsetMs: 1_000_002 })],
    );
  });

  it('a node keeps a bounded number of spans, the latest ones', () => {
    const spans = fold(Array.from({ length: 100 }, (_, index) => beat(2_000_000 + index * BRIDGE_MS)));
    expect(spans).toHaveLength(32);
    expect(spans.at(-1)?.lastAtMs).toBe(2_000_000 + 99 * BRIDGE_MS);
  });
});
