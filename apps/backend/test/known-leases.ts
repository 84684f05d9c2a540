import { createHash } from 'node:crypto';
import type { GuardLease } from '@dcompute/shared-types';
import { LeaseBook } from '../src/guard/leases/lease-book.js';

export const NODE = '11111111-1111-4111-8111-111111111111';
export const OTHER_NODE = '22222222-2222-4222-8222-222222222222';
export const EVICTED_NODE = '33333333-3333-4333-8333-333333333333';
export const TOKEN = 'token-of-the-node';
export const OTHER_TOKEN = 'token-of-the-other-node';

export const LIVE: GuardLease = {
  leaseId: '44444444-4444-4444-8444-444444444444',
  rentalId: '55555555-5555-4555-8555-555555555555',
  nodeId: NODE,
  proxyName: 'dc-55555555-5555-4555-8555-555555555555-22',
  protocol: 'tcp',
  port: 20_001,
  hostLabel: null,
  containerPort: 22,
  state: 'live',
  sshHostKeyFingerprint: 'SHA256:abc',
};
export const REVOKED: GuardLease = {
  ...LIVE,
  leaseId: '66666666-6666-4666-8666-666666666666',
  proxyName: 'dc-55555555-5555-4555-8555-555555555555-80',
  port: 20_002,
  containerPort: 80,
  state: 'revoked',
  sshHostKeyFingerprint: null,
};
export const EVICTED: GuardLease = {
  ...LIVE,
  leaseId: '77777777-7777-4777-8777-777777777777',
  nodeId: EVICTED_NODE,
  port: 20_003,
};

/** A book with one live and one revoked lease of NODE, and one that an evicted node still has. */
export function knownLeases(): LeaseBook {
  const book = new LeaseBook();
  const nodes = [
    { nodeId: NODE, tunnelTokenHash: sha256(TOKEN) },
    { nodeId: OTHER_NODE, tunnelTokenHash: sha256(OTHER_TOKEN) },
    { nodeId: EVICTED_NODE, tunnelTokenHash: null },
  ];
  book.apply({ rev: 5, full: true, leases: [LIVE, REVOKED, EVICTED], nodes }, 0);
  return book;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
