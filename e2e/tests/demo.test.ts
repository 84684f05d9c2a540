import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAmountMicros as micros } from '@dcompute/shared-types';
import { describe, expect, inject, it } from 'vitest';

const run = promisify(execFile);
const main = join(import.meta.dirname, '../../tools/launch/main.mjs');

describe('npm run demo', () => {
  it('does the main job once and says what it cost, and the charge lies inside what an outsider saw', async () => {
    const { stdout } = await run(process.execPath, [main, 'demo'], {
      env: { ...process.env, DOCKER_HOST: inject('market').dockerHost },
      timeout: 300_000,
    });
    const result = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as DemoResult;
    expect(result.rentalId).toMatch(/^[0-9a-f-]{36}$/);
    expect(result.sshCommand).toMatch(/^ssh -p \d+ root@/);
    expect(result.sshOutput).toMatch(/^root@/);
    expect(Object.keys(result.phasesMs).toSorted()).toEqual([
      'creating',
      'probing',
      'pulling',
      'scheduled',
      'starting',
    ]);
    const charged = micros(result.charged);
    expect(charged).toBe(micros(result.hostEarned) + micros(result.platformFee));
    expect(charged).toBe((micros(result.pricePerHour) * BigInt(result.billableMs)) / 3_600_000n);
    expect(charged).toBeGreaterThan(0n);
    expect(result.billableSeconds).toBeLessThanOrEqual(result.observed.seconds + (2 * result.observed.pollMs) / 1000);
    expect(result.ledgerOk).toBe(true);
  });
});

interface DemoResult {
  readonly rentalId: string;
  readonly sshCommand: string;
  readonly sshOutput: string;
  readonly phasesMs: Record<string, number>;
  readonly billableSeconds: number;
  readonly billableMs: number;
  readonly pricePerHour: string;
  readonly charged: string;
  readonly hostEarned: string;
  readonly platformFee: string;
  readonly ledgerOk: boolean;
  readonly observed: { readonly seconds: number; readonly pollMs: number };
}
