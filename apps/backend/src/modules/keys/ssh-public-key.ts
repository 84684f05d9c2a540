import { createHash } from 'node:crypto';
import { AppError } from '../../infra/index.js';

const MIN_RSA_BITS = 2048;

/** A public key of an authorized_keys line whose content was looked at, not only its shape. */
export interface SshPublicKeyFacts {
  /** Kind, key and comment with single spaces. */
  readonly line: string;
  /** `SHA256:…` as ssh-keygen -l shows it. */
  readonly fingerprint: string;
}

/**
 * Reads one public key (RFC 4253 section 6.6). Throws request.invalid for a key that says another kind inside than
 * outside, is cut off, or is RSA below 2048 bits: no SSH server would accept it, and the renter should hear it now.
 */
export function readSshPublicKey(text: string): SshPublicKeyFacts {
  const [kind = '', encoded = '', ...comment] = text.trim().split(/ +/);
  const blob = Buffer.from(encoded, 'base64');
  const fields = readFields(blob);
  if (!fields || fields.length < 2 || fields[0]?.toString('latin1') !== kind)
    throw invalid(`is not a whole ${kind} key`);
  if (kind === 'ssh-ed25519' && fields[1]?.length !== 32) throw invalid('is not a whole ssh-ed25519 key');
  if (kind === 'ssh-rsa' && rsaBits(fields) < MIN_RSA_BITS) {
    throw invalid(`is an RSA key of less than ${MIN_RSA_BITS} bits; make another one with: ssh-keygen -t ed25519`);
  }
  const hash = createHash('sha256').update(blob).digest('base64').replace(/=+$/, '');
  return { line: [kind, encoded, ...comment].join(' '), fingerprint: `SHA256:${hash}` };
}

/** The length-prefixed fields of a key, or null when they do not fill it exactly. */
function readFields(blob: Buffer): Buffer[] | null {
  const fields: Buffer[] = [];
  let offset = 0;
  while (offset < blob.length) {
    if (offset + 4 > blob.length) return null;
    const end = offset + 4 + blob.readUInt32BE(offset);
    if (end > blob.length) return null;
    fields.push(blob.subarray(offset + 4, end));
    offset = end;
  }
  return fields;
}

/** Bits of the modulus: the third field, an mpint that may start with a zero byte. */
function rsaBits(fields: readonly Buffer[]): number {
  const modulus = fields[2]?.toString('hex').replace(/^(00)+/, '') ?? '';
  return modulus === '' ? 0 : BigInt(`0x${modulus}`).toString(2).length;
}

function invalid(message: string): AppError {
  return new AppError('request.invalid', {
    detail: `The request is not valid: publicKey: ${message}.`,
    errors: [{ field: 'publicKey', message }],
  });
}
