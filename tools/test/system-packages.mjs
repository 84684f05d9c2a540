import { aptInstall, hasCommand, isDebianLike } from '../launch/engine.mjs';
import { Failure } from '../launch/failure.mjs';

/** Programs that tests run beside the engine, and the Debian package of each. */
const PROGRAMS = {
  ssh: 'openssh-client',
  'docker-registry': 'docker-registry',
  busybox: 'busybox-static',
  rsync: 'rsync',
  ip: 'iproute2',
  'iptables-save': 'iptables',
  ps: 'procps',
};

/** Installs what is missing, as root on Debian or Ubuntu; else says what to install. */
export function ensureSystemPackages() {
  const missing = Object.entries(PROGRAMS).filter(([program]) => !hasCommand(program));
  if (missing.length === 0) return;
  const packages = missing.map(([, name]) => name);
  if (process.getuid?.() === 0 && isDebianLike()) return aptInstall(packages);
  throw new Failure(
    `The tests need ${missing.map(([program]) => program).join(', ')}.`,
    `Install: ${packages.join(' ')}`,
  );
}
