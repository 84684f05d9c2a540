import { createHash, randomBytes } from 'node:crypto';

const SECRET_BYTES = 32;
const SHOWN_CHARACTERS = 12;

/** A new random secret that is shown once: only `hash` is stored, `prefix` is shown in lists. */
export function newBearerSecret(marker: 'dck_' | 'dhk_'): { secret: string; prefix: string; hash: Buffer } {
  const secret = marker + randomBytes(SECRET_BYTES).toString('base64url');
  return { secret, prefix: secret.slice(0, SHOWN_CHARACTERS), hash: hashBearerSecret(secret) };
}

/** SHA-256: the secrets are 256 random bits, so a slow hash would add nothing. */
export function hashBearerSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
