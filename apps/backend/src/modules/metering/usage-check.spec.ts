import { createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { UsageSegment } from '@dcompute/shared-types';
import { describe, expect, it } from 'vitest';
import { findDefect, segmentSigningText, withoutOverlaps } from './usage-check.js';

const fixture = JSON.parse(
  readFileSync(
    new URL('../../../../../packages/shared-types/fixtures/usage-segment-signature.json', import.meta.url),
    'utf8',
  ),
) as { public_key: string; segment: unknown };
const golden = UsageSegment.parse(fixture.segment);
const source = { nodeId: golden.node_id, bootId: golden.boot_id, bootMs: golden.to_ms };

function segment(n: number, fromMs: number, toMs: number, change: Partial<UsageSegment> = {}): UsageSegment {
  const made = { ...golden, n, from_ms: fromMs, to_ms: toMs, ...change };
  return { ...made, segment_id: `${made.placement_id}:${made.incarnation}:${made.boot_id}:${n}`, ...pick(change) };
}

const pick = ({ segment_id: id }: Partial<UsageSegment>) => (id === undefined ? {} : { segment_id: id });

describe('usage segments', () => {
  it('the golden segment is sound and its signature fits the text', () => {
    const x = Buffer.from(fixture.public_key, 'base64').toString('base64url');
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    expect(findDefect(golden, source)).toBeNull();
    const signature = Buffer.from(golden.signature, 'base64');
    expect(verify(null, Buffer.from(segmentSigningText(golden)), key, signature)).toBe(true);
  });

  it.each([
    ['an id that does not follow from the content', segment(7, 0, 10, { segment_id: 'anything' }), 'malformed'],
    ['an id that is no UUID', segment(7, 0, 10, { rental_id: "'; DROP TABLE" }), 'malformed'],
    ['a NUL in a name', segment(7, 0, 10, { container_id: 'a\0b' }), 'malformed'],
    ['another node', segment(7, 0, 10, { node_id: golden.rental_id }), 'foreign_node'],
    ['no time', segment(7, 10, 10), 'empty'],
    ['backward time', segment(7, 10, 5), 'empty'],
    ['time that the node has not reached', segment(7, 0, golden.to_ms + 60_000), 'in_future'],
  ])('%s is refused', (_what, wrong, defect) => {
    expect(findDefect(wrong, source)).toBe(defect);
  });

  it('a boot that is over may have been longer than the present one', () => {
    expect(findDefect(golden, { ...source, bootId: 'the-next-boot', bootMs: 5 })).toBeNull();
  });

  it('of two that overlap in one rental and boot only the first counts, whatever container they name', () => {
    const [a, b, c] = [segment(1, 0, 100), segment(2, 99, 150, { container_id: 'other' }), segment(3, 100, 200)];
    const { kept, overlapping } = withoutOverlaps([c, b, a, a]);
    expect(kept).toEqual([a, c]);
    expect(overlapping).toEqual([b]);
  });
});
