import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';

/** An SSH host key as a rental keeps it. */
export interface SshHostKey {
  /** OpenSSH PEM, unencrypted: what the guest reads. Secret. */
  readonly privateKeyPem: string;
  /** `ssh-ed25519 AAAA…`, for a known_hosts file. */
  readonly publicKey: string;
  /** `SHA256:…` as ssh and ssh-keygen show it. */
  readonly fingerprint: string;
}

const KEY_TYPE = 'ssh-ed25519';
const CIPHER_BLOCK_BYTES = 8;

/** Makes a new Ed25519 host key. Format: OpenSSH's PROTOCOL.key, version 1, without a passphrase. */
export function generateSshHostKey(): SshHostKey {
  const { privateKey } = generateKeyPairSync('ed25519');
  const jwk = privateKey.export({ format: 'jwk' });
  const seed = Buffer.from(jwk.d ?? '', 'base64url');
  const point = Buffer.from(jwk.x ?? '', 'base64url');
  const publicBlob = Buffer.concat([sshString(KEY_TYPE), sshString(point)]);
  return {
    privateKeyPem: toPem(privateKeyFile(publicBlob, seed, point)),
    publicKey: `${KEY_TYPE} ${publicBlob.toString('base64')}`,
    fingerprint: `SHA256:${createHash('sha256').update(publicBlob).digest('base64').replace(/=+$/, '')}`,
  };
}

function privateKeyFile(publicBlob: Buffer, seed: Buffer, point: Buffer): Buffer {
  const check = randomBytes(4);
  const secret = Buffer.concat([
    check,
    check,
    sshString(KEY_TYPE),
    sshString(point),
    sshString(Buffer.concat([seed, point])),
    sshString(''),
  ]);
  const padding = Buffer.from(
    Array.from({ length: -secret.length & (CIPHER_BLOCK_BYTES - 1) }, (_, index) => index + 1),
  );
  return Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    sshString('none'),
    sshString('none'),
    sshString(''),
    uint32(1),
    sshString(publicBlob),
    sshString(Buffer.concat([secret, padding])),
  ]);
}

function toPem(file: Buffer): string {
  const lines = file.toString('base64').match(/.{1,70}/g) ?? [];
  return ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n');
}

function sshString(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
