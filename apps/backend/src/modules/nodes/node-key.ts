import { type KeyObject, createPublicKey, verify } from 'node:crypto';
import { type Hello, helloSigningText } from '@dcompute/shared-types';

const ED25519_KEY_BYTES = 32;

/** A node's public key: to verify with, and in the one spelling that is stored. */
export interface NodeKey {
  readonly key: KeyObject;
  /** The 32 raw bytes in canonical base64. */
  readonly text: string;
}

/** Reads a raw Ed25519 public key in base64; null for anything else. */
export function readNodeKey(base64: string): NodeKey | null {
  const raw = Buffer.from(base64, 'base64');
  if (raw.length !== ED25519_KEY_BYTES) return null;
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') };
  return { key: createPublicKey({ key: jwk, format: 'jwk' }), text: raw.toString('base64') };
}

/** Whether a hello was signed, over this socket's nonce, by the key that it names. */
export function isSignedHello(
  hello: Pick<Hello, 'session_id' | 'signature'>,
  nonce: string,
  { key }: NodeKey,
): boolean {
  const text = helloSigningText(nonce, hello.session_id);
  return verify(null, Buffer.from(text), key, Buffer.from(hello.signature, 'base64'));
}
