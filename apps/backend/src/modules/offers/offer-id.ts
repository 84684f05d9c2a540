import { createHash } from 'node:crypto';

/** Namespace of offer ids (a random UUID, fixed for ever). */
const OFFER_NAMESPACE = Buffer.from('6f1c9c3ed6b54f0b9a0b8f6e1f0f6a52', 'hex');

/** The id of a node's shape: UUID version 5 (RFC 9562) of node id and shape key, so it never changes. */
export function offerIdOf(nodeId: string, shapeKey: string): string {
  const hash = createHash('sha1').update(OFFER_NAMESPACE).update(`${nodeId}:${shapeKey}`).digest();
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  const hex = hash.toString('hex', 0, 16);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
