import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import { inject } from 'vitest';

const run = promisify(execFile);

/** Runs the docker client against the engine of the tests and returns what it printed. */
export async function docker(...args: string[]): Promise<string> {
  const { stdout } = await run('docker', ['-H', inject('market').dockerHost, ...args], { maxBuffer: 16 * 1024 * 1024 });
  return stdout.trim();
}

/** Makes an image of single files of this machine. @param files path in the image -> path here */
export function importImage(tag: string, files: Readonly<Record<string, string>>): void {
  const renames = Object.entries(files).map(([inside, here]) => `--transform=s,^${here}$,${inside},`);
  const tar = execFileSync('tar', ['--dereference', ...renames, '-cPf', '-', ...Object.values(files)], {
    maxBuffer: 64 * 1024 * 1024,
  });
  execFileSync('docker', ['-H', inject('market').dockerHost, 'import', '-', tag], {
    input: tar,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
}

/** The containers of a rental, running or not, as `docker ps` names them. */
export async function containersOf(rentalId: string): Promise<string[]> {
  const names = await docker('ps', '--all', '--filter', `label=dc.rental=${rentalId}`, '--format', '{{.Names}}');
  return names.split('\n').filter(Boolean);
}

/** Everything the engine knows of a container. */
export async function inspect(container: string): Promise<Inspected> {
  const [found] = JSON.parse(await docker('inspect', container)) as Inspected[];
  if (!found) throw new Error(`no container ${container}`);
  return found;
}

/** The parts of `docker inspect` that tests look at. */
export interface Inspected {
  readonly Id: string;
  readonly Config: { readonly Labels: Record<string, string>; readonly Env: string[] };
  readonly State: { readonly Running: boolean; readonly Pid: number; readonly StartedAt: string };
  readonly HostConfig: Record<string, unknown>;
  readonly Mounts: unknown[];
}
