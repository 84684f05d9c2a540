import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from './failure.mjs';
import { takeFirewallSnapshot } from './firewall.mjs';

const SYSTEM_SOCKET = 'unix:///var/run/docker.sock';

/**
 * The Docker engine of this machine: the one that answers (DOCKER_HOST or the system's), else, as root on Debian or
 * Ubuntu, one of our own as a part for the supervisor.
 * @param {{dataDir: string, progress: ReturnType<typeof import('./progress.mjs').createProgress>, systemSocket?: string,
 *   own?: boolean}} options `own`: one of our own whatever else runs; only where the network is our own as well
 */
export async function dockerEngine({ dataDir, progress, systemSocket = SYSTEM_SOCKET, own = false }) {
  if (own) return ownEngine(dataDir);
  const running = process.env.DOCKER_HOST ?? systemSocket;
  if (answers(running)) return { dockerHost: running, part: null, cleanUp: () => {} };
  if (process.env.DOCKER_HOST)
    throw new Failure(
      `No Docker engine answers at DOCKER_HOST=${process.env.DOCKER_HOST}.`,
      'Start it, or unset DOCKER_HOST.',
    );
  if (process.getuid?.() !== 0) {
    throw new Failure(
      'No Docker engine is running, and this user may not start one.',
      'Start Docker and add yourself to the group "docker", or run as root on Debian or Ubuntu, or look around without containers: npm start -- --runtime simulated',
    );
  }
  await installEngine(progress);
  return ownEngine(dataDir);
}

/** True when a Docker engine answers there. @param {string} host */
function answers(host) {
  const { status } = spawnSync('docker', ['-H', host, 'version', '--format', '{{.Server.Version}}'], {
    timeout: 10_000,
  });
  return status === 0;
}

function ownEngine(dataDir) {
  const folder = join(dataDir, 'docker');
  mkdirSync(folder, { recursive: true, mode: 0o711 });
  const socket = join(dataDir, 'run', 'docker.sock');
  const dockerHost = `unix://${socket}`;
  const firewall = takeFirewallSnapshot(join(dataDir, 'run', 'firewall-before.json'));
  return {
    dockerHost,
    part: {
      name: 'dockerd',
      command: 'dockerd',
      args: [
        '--data-root',
        join(folder, 'data'),
        '--exec-root',
        join(folder, 'exec'),
        '--pidfile',
        join(folder, 'pid'),
        '-H',
        dockerHost,
        '--live-restore',
        '--userland-proxy=false',
        '--icc=false',
        '--log-driver=local',
      ],
      env: { ...process.env },
      ready: () => answers(dockerHost),
      readyTimeoutMs: 60_000,
      stopTimeoutMs: 60_000,
    },
    cleanUp: () => firewall.restore(),
  };
}

/** Installs Docker and iptables from the distribution, where they are missing. */
export async function installEngine(progress) {
  const missing = [
    ['dockerd', 'docker.io'],
    ['iptables', 'iptables'],
    ['ip', 'iproute2'],
  ].filter(([command]) => !hasCommand(command));
  if (missing.length === 0) return;
  const packages = missing.map(([, name]) => name);
  if (!existsSync('/usr/bin/apt-get')) {
    throw new Failure(
      `${missing.map(([command]) => command).join(' and ')} cannot be found, and this is neither Debian nor Ubuntu.`,
      'Install Docker Engine (https://docs.docker.com/engine/install/) and start it.',
    );
  }
  await progress.step(`installing ${packages.join(', ')}`, () => aptInstall(packages));
}

/** Installs Debian packages, with the lists updated first. @param {string[]} packages */
export function aptInstall(packages) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  // Debian's package would start an engine of its own where systemd runs; ours is enough.
  spawnSync('apt-get', ['update', '-qq'], { env });
  const { status, stderr } = spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], {
    env,
    encoding: 'utf8',
  });
  if (status !== 0)
    throw new Failure(
      `apt-get could not install ${packages.join(', ')}: ${stderr.trim().split('\n').at(-1)}`,
      'Check the network and /etc/apt/sources.list, or install them by hand.',
    );
}

/** @param {string} command */
export function hasCommand(command) {
  return (process.env.PATH ?? '').split(':').some((folder) => existsSync(join(folder, command)));
}

/** Debian or Ubuntu, by /etc/os-release. */
export function isDebianLike() {
  try {
    return /^ID(_LIKE)?=.*(debian|ubuntu)/m.test(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return false;
  }
}
