import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/**
 * Generates the Prisma client. Generating needs no engine, but the command refuses to start without one and would fetch it
 * from a host of its own; any executable that it never calls will do.
 */
function generateClient() {
  rmSync(join(root, 'src/generated'), { recursive: true, force: true });
  execFileSync('prisma', ['generate', '--no-hints'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1' },
  });
}

/** Compiles the backend. A stale file of a deleted source must not stay importable, so dist/ is made anew. */
function compile() {
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  execFileSync('tsc', ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
}

generateClient();
compile();
