import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { generateSshHostKey } from './ssh-host-key.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'host-key-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('generateSshHostKey', () => {
  it('makes a key that OpenSSH itself reads as the same key with the same fingerprint', () => {
    const key = generateSshHostKey();
    const file = join(folder, 'key');
    writeFileSync(file, key.privateKeyPem, { mode: 0o600 });
    expect(execFileSync('ssh-keygen', ['-y', '-f', file], { encoding: 'utf8' }).trim()).toBe(key.publicKey);
    expect(execFileSync('ssh-keygen', ['-l', '-f', file], { encoding: 'utf8' })).toContain(key.fingerprint);
  });

  it('never makes the same key twice', () => {
    expect(generateSshHostKey().fingerprint).not.toBe(generateSshHostKey().fingerprint);
  });
});
