import { type DesiredInstance, LIMITS, parseBackendMessage } from '@dcompute/shared-types';
import { describe, expect, it } from 'vitest';
import { desiredParts } from './desired-parts.js';

const item = (n: number, keyBytes = 80): DesiredInstance => ({
  rental_id: `rental-${n}`,
  placement_id: `placement-${n}`,
  incarnation: 1,
  gen: 1,
  desired: 'running',
  spec_sha: 'f'.repeat(64),
  ssh_keys: [`ssh-ed25519 ${'A'.repeat(keyBytes)}`],
  tunnels: [],
  stop_grace_seconds: 10,
});

describe('parts of a desired list', () => {
  it('an empty list is one empty part, so that the agent hears of it', () => {
    expect(desiredParts({ rev: 4, frozen: true, items: [] })).toEqual([
      { event: 'desired', data: { rev: 4, part: 1, parts: 1, frozen: true, items: [] } },
    ]);
  });

  it.each([
    ['many small items', 5_000, 80],
    ['items with large keys', 60, LIMITS.sshPublicKeyBytes - 20],
  ])('every part keeps both limits, and together they are the list: %s', (_what, count, keyBytes) => {
    const items = Array.from({ length: count }, (_, index) => item(index, keyBytes));
    const parts = desiredParts({ rev: 9, frozen: false, items });
    const texts = parts.map((part) => JSON.stringify(part));
    expect(Math.max(...texts.map((text) => Buffer.byteLength(text)))).toBeLessThanOrEqual(LIMITS.agentMessageBytes);
    expect(texts.map((text) => parseBackendMessage(text).kind)).not.toContain('malformed');
    expect(parts.map(({ data }) => data.part)).toEqual(parts.map((_, index) => index + 1));
    expect(new Set(parts.map(({ data }) => data.parts))).toEqual(new Set([parts.length]));
    expect(parts.flatMap(({ data }) => data.items)).toEqual(items);
  });
});
