import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runLogged } from '../launch/run.mjs';
import { cacheDir } from '../launch/toolchain.mjs';
import { checkImportArrows } from './import-arrows.mjs';
import { readGoReport, readJUnitReport } from './reports.mjs';

/**
 * Every check of the gate, in the order in which they run: the quick ones first.
 * @param {{root: string, built: Awaited<ReturnType<typeof import('../launch/build.mjs').buildParts>>, dockerHost: string, logDir: string}} options
 * @returns {{name: string, log: string, run: () => Promise<{passed: number, failed: number, detail?: string}>}[]}
 */
export function checksOf({ root, built, dockerHost, logDir }) {
  const env = {
    ...built.env,
    DOCKER_HOST: dockerHost,
    DCOMPUTE_FRPS: built.frps,
    DCOMPUTE_FRPC: built.frpc,
    DCOMPUTE_GUEST: built.guest,
    DCOMPUTE_AGENT: built.agent,
  };
  const bin = (name) => join(root, 'node_modules/.bin', name);
  const agent = join(root, 'apps/agent');

  const command = (name, program, args, cwd = root) => {
    const log = join(logDir, `${name.replaceAll(' ', '-')}.log`);
    return { name, log, run: () => runLogged(program, args, { cwd, env, log }).then(() => ({ passed: 1, failed: 0 })) };
  };
  /** A test runner that writes a report: its tests are counted, and a report that is missing or empty is a failure. */
  const suite = (name, program, args, { cwd, report, read = readJUnitReport }) => {
    const log = join(logDir, `${name.replaceAll(' ', '-')}.log`);
    const run = async () => {
      const failure = await runLogged(program, args, { cwd, env, log }).then(
        () => null,
        (error) => error,
      );
      const file = report ?? log;
      const counts = existsSync(file) ? read(readFileSync(file, 'utf8')) : { passed: 0, failed: 0 };
      const broken = failure !== null || counts.passed === 0;
      return broken && counts.failed === 0
        ? { passed: counts.passed, failed: 1, detail: failure?.message ?? 'no test ran' }
        : counts;
    };
    return { name, log, run };
  };
  const vitest = (name, folder) => {
    const report = join(logDir, `${name.replaceAll(' ', '-')}.xml`);
    return suite(
      name,
      join(root, folder, 'node_modules/.bin/vitest'),
      ['run', '--reporter=default', '--reporter=junit', `--outputFile.junit=${report}`],
      { cwd: join(root, folder), report },
    );
  };
  const pytestReport = join(logDir, 'agent.xml');

  return [
    command('format', bin('prettier'), ['--check', '--log-level=warn', '.']),
    command('lint', bin('oxlint'), [
      '-c',
      'packages/config/oxlint.json',
      '--type-aware',
      '--deny-warnings',
      'apps/backend',
      'packages',
      'e2e',
      'tools',
      'bench',
    ]),
    command('types', bin('turbo'), [
      'run',
      'typecheck',
      '--filter=!@dcompute/agent',
      '--concurrency=1',
      `--cache-dir=${join(cacheDir(), 'turbo')}`,
    ]),
    {
      name: 'import arrows',
      log: join(logDir, 'import-arrows.log'),
      run: async () => (checkImportArrows({ root, env }), { passed: 1, failed: 0 }),
    },
    command('dead code', bin('knip'), ['--no-progress']),
    command('generated models', built.pnpm, ['--filter', '@dcompute/shared-types', 'run', 'check:generated']),
    command('agent lint', built.uv, ['run', '--frozen', 'ruff', 'check'], agent),
    command('agent format', built.uv, ['run', '--frozen', 'ruff', 'format', '--check'], agent),
    command('agent types', built.pnpm, ['--filter', '@dcompute/agent', 'run', 'typecheck']),
    command('guest vet', built.go, ['vet', './...'], join(root, 'apps/guest')),
    command('guest format', 'sh', ['-c', 'test -z "$(gofmt -l .)"'], join(root, 'apps/guest')),
    vitest('shared-types', 'packages/shared-types'),
    vitest('backend', 'apps/backend'),
    suite('agent', built.uv, ['run', '--frozen', 'pytest', '-q', `--junitxml=${pytestReport}`], {
      cwd: agent,
      report: pytestReport,
    }),
    suite('guest', built.go, ['test', '-json', '-count=1', '-p', '1', './...'], {
      cwd: join(root, 'apps/guest'),
      read: readGoReport,
    }),
    vitest('e2e', 'e2e'),
  ];
}
