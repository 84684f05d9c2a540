import { expect, test } from 'vitest';
import { LIVE, NODE, REVOKED, knownLeases } from '../../../test/known-leases.js';
import { LeaseBook, wireNameOf } from './lease-book.js';

const change = (rev: number, state: 'live' | 'revoked' | 'resting') => ({
  rev,
  full: false,
  leases: [{ ...LIVE, state }],
  nodes: [],
});

test('an answer that is older than what is known changes nothing: a revoked lease does not come back', () => {
  const book = knownLeases();
  book.apply(change(7, 'revoked'), 5);
  expect(book.apply(change(6, 'live'), 5).anything).toBe(false);
  expect(book.leaseNamed(wireNameOf(LIVE))?.state).toBe('revoked');
  expect(book.rev).toBe(7);
});

test('a late full answer changes nothing either', () => {
  const book = knownLeases();
  book.apply(change(7, 'revoked'), 5);
  expect(book.apply({ rev: 6, full: true, leases: [LIVE], nodes: [] }, 0).anything).toBe(false);
});

test('a platform that fell behind replaces everything', () => {
  const book = knownLeases();
  const changes = book.apply({ rev: 2, full: true, leases: [REVOKED], nodes: [] }, 5);
  expect(changes.ended).toContain(LIVE.leaseId);
  expect(book.rev).toBe(2);
  expect(book.leaseNamed(wireNameOf(LIVE))).toBeUndefined();
  expect(book.tokenHashOf(NODE)).toBeUndefined();
});

test('a lease that rests is forgotten', () => {
  const book = knownLeases();
  const changes = book.apply(change(6, 'resting'), 5);
  expect(changes.ended).toEqual([LIVE.leaseId]);
  expect(book.leaseNamed(wireNameOf(LIVE))).toBeUndefined();
});

test('a lease that moved to another node answers to its new name only', () => {
  const book = knownLeases();
  const moved = { ...LIVE, nodeId: '88888888-8888-4888-8888-888888888888' };
  const changes = book.apply({ rev: 6, full: false, leases: [moved], nodes: [] }, 5);
  expect(changes.ended).toEqual([LIVE.leaseId]);
  expect(book.leaseNamed(wireNameOf(LIVE))).toBeUndefined();
  expect(book.leaseNamed(wireNameOf(moved))).toEqual(moved);
});

test('a snapshot brings back all of it', () => {
  const restored = new LeaseBook();
  restored.restore(knownLeases().snapshot());
  expect(restored.snapshot()).toEqual(knownLeases().snapshot());
});
