import { generateKeyPairSync } from 'node:crypto';
import ssh2 from 'ssh2';
import { describe, expect, it } from 'vitest';
import { readSshPublicKey } from './ssh-public-key.js';

const { generateKeyPairSync: generateSshKey } = ssh2.utils;

/** An RSA key as OpenSSH writes it: ssh2 makes none below 2048 bits. */
function rsaLine(bits: number): string {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: bits });
  const { n = '', e = '' } = publicKey.export({ format: 'jwk' });
  const mpint = (text: string) => Buffer.concat([Buffer.from([0]), Buffer.from(text, 'base64url')]);
  const field = (bytes: Buffer) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const blob = Buffer.concat([field(Buffer.from('ssh-rsa')), field(mpint(e)), field(mpint(n))]);
  return `ssh-rsa ${blob.toString('base64')}`;
}

describe('an SSH public key', () => {
  it('of every kind that ssh-keygen makes is accepted with its comment', () => {
    const lines = [
      generateSshKey('ed25519', { comment: 'me@laptop' }).public,
      generateSshKey('ecdsa', { bits: 256, comment: 'a b' }).public,
      generateSshKey('rsa', { bits: 2048 }).public,
    ];
    for (const line of lines) {
      expect(readSshPublicKey(` ${line} `)).toEqual({
        line: line.trim(),
        fingerprint: expect.stringMatching(/^SHA256:[A-Za-z0-9+/]{43}$/),
      });
    }
  });

  it('has the fingerprint that ssh-keygen -l shows', () => {
    const line = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl';
    expect(readSshPublicKey(line).fingerprint).toBe('SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU');
  });

  it.each([
    ['cut off', () => generateSshKey('ed25519').public.split(' ')[1]?.slice(0, 40) ?? '', 'ssh-ed25519'],
    ['of another kind inside', () => generateSshKey('ecdsa', { bits: 256 }).public.split(' ')[1] ?? '', 'ssh-ed25519'],
    ['of no content', () => 'AAAA', 'ssh-ed25519'],
  ])('that is %s is refused', (_what, encoded, kind) => {
    expect(() => readSshPublicKey(`${kind} ${encoded()}`)).toThrow(/is not a whole ssh-ed25519 key/);
  });

  it('of RSA below 2048 bits is refused', () => {
    expect(() => readSshPublicKey(rsaLine(1024))).toThrow(/less than 2048 bits/);
    expect(readSshPublicKey(rsaLine(2048)).line).toMatch(/^ssh-rsa /);
  });
});
