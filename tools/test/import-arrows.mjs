import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../launch/failure.mjs';

const CONFIG = 'packages/config/import-arrows.cjs';
const SOURCES = ['apps/backend/src', 'packages/shared-types/src'];
/** An empty graph breaks no rule: far fewer modules than there are means that the reader is blind. */
const MODULES_LEAST = 100;

/**
 * Checks the import arrows, and that the check can fail: one violation of each kind is planted and must be found.
 * @param {{root: string, env: Record<string, string>}} options
 */
export function checkImportArrows({ root, env }) {
  const { violations, totalCruised } = cruise(root, env);
  if (totalCruised < MODULES_LEAST)
    throw new Failure(`Only ${totalCruised} modules were seen: the reader of TypeScript is blind.`);
  if (violations.length > 0)
    throw new Failure(
      `Imports against the arrows:\n${violations.map(({ rule, from, to }) => `  ${rule.name}: ${from} -> ${to}`).join('\n')}`,
    );
  provePlantedViolations(root, env);
}

const PLANTED = [
  {
    rule: 'infra-below-modules',
    file: 'apps/backend/src/infra/planted-arrow.ts',
    imports: '../modules/ledger/index.js',
  },
  {
    rule: 'module-through-index',
    file: 'apps/backend/src/modules/offers/planted-arrow.ts',
    imports: '../ledger/rounding.js',
  },
  {
    rule: 'shared-types-alone',
    file: 'packages/shared-types/src/planted-arrow.ts',
    imports: '../../../apps/backend/src/infra/clock.js',
  },
];

/** The planted files live for the moment of the check only and are taken away also when it fails. */
function provePlantedViolations(root, env) {
  try {
    for (const { file, imports } of PLANTED) {
      mkdirSync(join(root, file, '..'), { recursive: true });
      writeFileSync(join(root, file), `import * as planted from '${imports}';\nexport const use = planted;\n`);
    }
    const found = new Set(cruise(root, env).violations.map(({ rule, from }) => `${rule.name} ${from}`));
    const missed = PLANTED.filter(({ rule, file }) => !found.has(`${rule} ${file}`));
    if (missed.length > 0)
      throw new Failure(
        `The import check cannot fail: planted violations were not found: ${missed.map(({ rule }) => rule).join(', ')}`,
      );
  } finally {
    for (const { file } of PLANTED) rmSync(join(root, file), { force: true });
  }
}

function cruise(root, env) {
  const command = join(root, 'node_modules/.bin/depcruise');
  const { stdout, stderr, error } = spawnSync(command, ['--config', CONFIG, '--output-type', 'json', ...SOURCES], {
    cwd: root,
    env,
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  });
  try {
    return JSON.parse(stdout).summary;
  } catch {
    throw new Failure(`dependency-cruiser failed: ${error?.message ?? stderr}`);
  }
}
