import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prepareDefaultImage } from '../image/build.mjs';
import { buildParts } from './build.mjs';
import { layOutDataDir } from './data-dir.mjs';
import { hasCommand, aptInstall, installEngine } from './engine.mjs';
import { Failure } from './failure.mjs';
import { createProgress } from './progress.mjs';

const CGROUPS = '/sys/fs/cgroup';

/**
 * `npm run faults [-- --only WORDS] [--write] [--json FILE]`: real faults on a real market, in namespaces of its own, so
 * that its engine, firewall, ports and processes are nobody else's and all of them end with it, also when it is killed.
 * @param {{root: string, argv: string[]}} options
 */
export async function runFaults({ root, argv }) {
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    throw new Failure(
      'npm run faults kills engines and reboots nodes: it needs Linux, and root for namespaces of its own.',
    );
  const progress = createProgress();
  // /var/tmp, not /tmp: a container's disk does not belong into memory.
  const dataDir = mkdtempSync('/var/tmp/dcompute-faults-');
  try {
    layOutDataDir(dataDir);
    await installEngine(progress);
    if (!hasCommand('docker-registry')) aptInstall(['docker-registry']);
    const built = await buildParts({ root, progress, logDir: join(dataDir, 'logs') });
    await progress.step('default image', () => prepareDefaultImage());
    const { env, ...programs } = built;
    writeFileSync(join(dataDir, 'run', 'programs.json'), JSON.stringify(programs));
    process.exitCode = await runInside({ root, dataDir, node: built.node, env, argv });
  } finally {
    removeCgroups(dataDir);
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Process, mount and network namespaces: the first process of the inner one takes every other with it when it ends. */
async function runInside({ root, dataDir, node, env, argv }) {
  const main = [node, join(root, 'e2e/faults/main.ts'), ...argv];
  const inner = ['sh', '-c', 'ip link set lo up && "$@"; exit $?', 'sh', ...main];
  const namespaces = ['unshare', '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', ...inner];
  const { DOCKER_HOST: _others, ...own } = env;
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...namespaces], {
    stdio: 'inherit',
    env: { ...own, DCOMPUTE_FAULTS_DIR: dataDir },
  });
  const end = () => child.kill('SIGKILL');
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, end);
  return await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 130));
  });
}

/** The control groups of containers that ended with the namespaces and not by their engine. */
function removeCgroups(dataDir) {
  const containers = join(dataDir, 'docker', 'data', 'containers');
  if (!existsSync(containers)) return;
  for (const id of readdirSync(containers)) {
    for (const controller of ['', ...readdirSync(CGROUPS)]) {
      const group = join(CGROUPS, controller, 'docker', id);
      if (existsSync(group)) rmdirSync(group);
    }
  }
}
