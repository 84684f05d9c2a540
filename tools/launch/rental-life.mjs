import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { aptInstall, hasCommand, isDebianLike } from './engine.mjs';
import { Failure } from './failure.mjs';
import { waitFor } from './wait.mjs';

/** Makes the SSH key pair of a folder once and returns the public key. @param {string} folder */
export function ensureSshKey(folder) {
  requireOpenSsh();
  const file = join(folder, 'id_ed25519');
  if (!existsSync(file)) {
    const { status, stderr } = spawnSync(
      'ssh-keygen',
      ['-q', '-t', 'ed25519', '-N', '', '-C', 'distributed-compute', '-f', file],
      { encoding: 'utf8' },
    );
    if (status !== 0) throw new Failure(`ssh-keygen failed: ${stderr}`);
  }
  chmodSync(file, 0o600);
  return {
    privateKey: file,
    publicKey: spawnSync('ssh-keygen', ['-y', '-f', file], { encoding: 'utf8' }).stdout.trim(),
  };
}

function requireOpenSsh() {
  if (hasCommand('ssh') && hasCommand('ssh-keygen')) return;
  if (process.getuid?.() === 0 && isDebianLike()) return aptInstall(['openssh-client']);
  throw new Failure(
    'The OpenSSH client (ssh, ssh-keygen) is missing.',
    'Install it, for example: apt-get install openssh-client',
  );
}

/** Waits until a rental has one of `statuses`; fails with its own reason when it ends otherwise. */
export async function waitForRental(api, id, statuses, { timeoutMs = 300_000, onChange = () => {} } = {}) {
  let shown = '';
  return await waitFor(
    `rental ${id} to be ${statuses.join(' or ')}`,
    async () => {
      const rental = await api.get(`/api/v1/rentals/${id}`);
      const line = [rental.status, rental.phase].filter(Boolean).join(' ');
      if (line !== shown) onChange((shown = line));
      return statuses.includes(rental.status) ? rental : endedOtherwise(rental, statuses);
    },
    { timeoutMs, intervalMs: 100 },
  );
}

/** A rental that its node stopped for a moment (`node_shutdown`) has not ended: the node's return resumes it. */
function endedOtherwise(rental, statuses) {
  const stopped = rental.status === 'STOPPED' && rental.endReason !== 'node_shutdown';
  const ended = ['FAILED', 'TERMINATED'].includes(rental.status) || (stopped && statuses.includes('RUNNING'));
  if (ended) throw new Failure(`The rental ended: ${rental.endMessage ?? rental.endReason ?? rental.status}`);
  return undefined;
}

/** The arguments for `ssh` to a rental: its own key and a known_hosts file with the host key that the API shows. */
export function sshArguments({ rental, privateKey, folder }) {
  const { host, sshPort, sshHostPublicKey } = rental.connectionInfo;
  const knownHosts = join(folder, `known_hosts-${rental.id}`);
  writeFileSync(knownHosts, `[${host}]:${sshPort} ${sshHostPublicKey}\n`, { mode: 0o600 });
  return [
    '-i',
    privateKey,
    '-o',
    'IdentitiesOnly=yes',
    '-o',
    // Quoted: ssh takes spaces for the end of a name.
    `UserKnownHostsFile="${knownHosts}"`,
    '-o',
    'StrictHostKeyChecking=yes',
    '-o',
    'LogLevel=ERROR',
    '-p',
    String(sshPort),
    `root@${host}`,
  ];
}

/** Runs one command over the real OpenSSH client and returns its standard output. */
export function runOverSsh(args, command, { timeoutMs = 30_000 } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn('ssh', ['-o', 'BatchMode=yes', ...args, command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
    });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (errors += chunk));
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve(output) : reject(new Error(`ssh ended with ${code}: ${errors.trim()}`)),
    );
  });
}
