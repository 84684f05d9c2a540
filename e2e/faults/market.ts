import { execFile, spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { signedInClient, signedUpClient } from '../../tools/launch/accounts.mjs';
import { agentPart } from '../../tools/launch/agent.mjs';
import { ensureDefaultImage } from '../../tools/launch/image.mjs';
import { startMarketStack } from '../../tools/launch/market-stack.mjs';
import { freePort } from '../../tools/launch/ports.mjs';
import { createProgress } from '../../tools/launch/progress.mjs';
import { ensureSshKey, runOverSsh, sshArguments } from '../../tools/launch/rental-life.mjs';
import { waitFor } from '../../tools/launch/wait.mjs';
import { FaultProxy } from '../harness/fault-proxy.ts';
import { COUNTER } from './counter.ts';
import { FAULT_LIMITS } from './limits.ts';

const run = promisify(execFile);
const PASSWORD = 'faults-password-1234';
export const root = join(import.meta.dirname, '../..');

export interface Queryable {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>;
}

export type Stack = Awaited<ReturnType<typeof startMarketStack>>;
export type Client = Awaited<ReturnType<typeof signedInClient>>;
type LaunchPart = ReturnType<typeof agentPart>;

/** What the API tells of a rental, as far as the table looks. */
export interface RentalView {
  readonly id: string;
  readonly status: string;
  readonly phase: string | null;
  readonly health: string;
  readonly endReason: string | null;
  readonly readyAt: string | null;
  readonly stopDecidedAt: string | null;
  readonly settledAt: string | null;
  readonly chargedTotal: string;
  readonly billableMs: number;
  readonly connectionInfo: { readonly host: string; readonly sshPort: number };
}

/** The machine that the agent finds itself on: after another boot, or with a wall clock that somebody sets. */
export interface AgentMachine {
  readonly bootId?: string;
  /** Seconds by which its boot clock is behind this machine's. */
  readonly bootedLaterS?: number;
  /** File that holds the seconds by which its wall clock is ahead. */
  readonly clockFile?: string;
}

/** A whole market with one node, all of it for faults: every process of it may be killed. */
export interface FaultMarket {
  readonly stack: Stack;
  readonly proxy: FaultProxy;
  readonly operator: Client;
  readonly renter: Client;
  readonly host: Client;
  readonly hostKey: string;
  readonly nodeId: string;
  readonly offerId: string;
  readonly dockerHost: string;
  readonly key: { readonly publicKey: string; readonly privateKey: string };
  /** Containers of nodes or restored databases that nobody knows any more go so soon. */
  machine: AgentMachine;
  stop(): Promise<void>;
}

/** Starts it. @param programs as `buildParts` returned them */
export async function startFaultMarket(dataDir: string, programs: Stack['built']): Promise<FaultMarket> {
  const progress = createProgress();
  const mode = { fixedPorts: false, runtime: 'docker' as const, env: { ...FAULT_LIMITS }, ownEngine: true };
  const stack = await startMarketStack({ root, dataDir, built: programs, progress, port: await freePort(), mode });
  const { dockerHost } = stack;
  if (dockerHost === undefined) throw new Error('the market has no engine');
  const proxy = await FaultProxy.start(stack.url.replace(/^http/, 'ws'));
  const stop = async (): Promise<void> => {
    await stack.stop({ discard: true });
    await proxy.stop();
  };
  try {
    await progress.step('default image', () => ensureDefaultImage(dockerHost));
    return { ...(await enrol(stack, proxy, dockerHost)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function enrol(stack: Stack, proxy: FaultProxy, dockerHost: string): Promise<Omit<FaultMarket, 'stop'>> {
  const { url, secrets } = stack;
  const account = async (role: string): Promise<Client> =>
    await signedUpClient(url, { email: `${role}@faults.example`, password: PASSWORD, displayName: role, role });
  const [host, renter] = [await account('LEASE'), await account('RENT')];
  const operator = await signedInClient(url, { email: secrets.operatorEmail, password: secrets.operatorPassword });
  await operator.post('/api/v1/operator/credits', { userId: renter.user.id, amount: '100', reason: 'faults' });
  const { secret } = await host.post('/api/v1/host-keys', { name: 'faults' });
  const market = {
    stack,
    proxy,
    operator,
    renter,
    host,
    hostKey: String(secret),
    nodeId: '',
    offerId: '',
    dockerHost,
    key: ensureSshKey(join(stack.dataDir, 'secrets')),
    machine: {} as AgentMachine,
  };
  await startAgent(market);
  const nodeId = await waitFor('the node', async () => (await host.get('/api/v1/nodes')).items[0]?.id as string, {
    timeoutMs: 60_000,
  });
  // The smallest slice: several fit on the node at once.
  const offers = await waitFor(
    'its offers',
    async () => {
      const { items } = await host.get(`/api/v1/offers?nodeId=${nodeId}`);
      return items.length > 0 && (items as { id: string; cpuMillicores: number }[]);
    },
    { timeoutMs: 60_000 },
  );
  const [smallest] = offers.toSorted((a, b) => a.cpuMillicores - b.cpuMillicores);
  return { ...market, nodeId, offerId: smallest?.id ?? '' };
}

type Startable = Pick<FaultMarket, 'stack' | 'proxy' | 'hostKey' | 'dockerHost' | 'machine'>;

/** Starts the agent on its machine, behind the proxy. */
export async function startAgent(market: Startable): Promise<void> {
  const { stack } = market;
  stack.node = agentNode(market, stack.dataDir);
  await stack.supervisor.start(agentOn(agentPart(stack.node), market.machine));
}

/** What `agentPart` needs. @param folder holds the agent's state in `agent/` */
export function agentNode({ stack, proxy, hostKey, dockerHost }: Startable, folder: string) {
  mkdirSync(join(folder, 'agent'), { recursive: true, mode: 0o700 });
  return {
    hostKey,
    runtime: 'docker' as const,
    networkRange: '10.215.0.0/16',
    dataDir: folder,
    built: stack.built,
    backendUrl: proxy.url.replace(/^ws/, 'http'),
    dockerHost,
  };
}

/** The part on a machine: with another boot id, boot clock or wall clock, and a short grace for unknown containers. */
export function agentOn(part: LaunchPart, machine: AgentMachine): LaunchPart {
  const env = { ...part.env, DCOMPUTE_UNKNOWN_GRACE_S: '5' };
  const program = machine.clockFile
    ? [join(part.command, '../python'), join(import.meta.dirname, 'stepping_clock_agent.py'), machine.clockFile, 'run']
    : [part.command, ...part.args];
  if (machine.bootId === undefined) return { ...part, command: program[0] ?? '', args: program.slice(1), env };
  const script = 'echo "$1" > "$2" && mount --bind "$2" /proc/sys/kernel/random/boot_id && shift 2 && exec "$@"';
  const file = join(env.DCOMPUTE_STATE_DIR, 'boot-id');
  const clock = ['--time', '--boottime', String(-(machine.bootedLaterS ?? 0))];
  // In a time namespace only children have the other clock: hence the fork, and a signal that ends it with its parent.
  const inside = [
    '--mount',
    ...clock,
    '--fork',
    '--kill-child',
    'sh',
    '-c',
    script,
    'sh',
    machine.bootId,
    file,
    ...program,
  ];
  return { ...part, command: 'unshare', args: inside, env };
}

/** Runs the docker client against the market's engine. */
export async function docker(market: Pick<FaultMarket, 'dockerHost'>, ...args: string[]): Promise<string> {
  const { stdout } = await run('docker', ['-H', market.dockerHost, ...args], { timeout: 30_000 });
  return stdout.trim();
}

/** The state of a rental's containers, by name: `pid startedAt` of those that run, null for the others. */
export async function containersOf(market: FaultMarket, rentalId: string): Promise<Map<string, string | null>> {
  const names = await docker(
    market,
    'ps',
    '--all',
    '--filter',
    `label=dc.rental=${rentalId}`,
    '--format',
    '{{.Names}}',
  );
  const found = new Map<string, string | null>();
  for (const name of names.split('\n').filter(Boolean)) {
    const format = '{{.State.Running}} {{.State.Pid}} {{.State.StartedAt}}';
    const [running, ...state] = (await docker(market, 'inspect', '--format', format, name)).split(' ');
    found.set(name, running === 'true' ? state.join(' ') : null);
  }
  return found;
}

/** One connection to the market's database for `use`. */
export async function withDatabase<T>(
  market: Pick<FaultMarket, 'stack'>,
  use: (db: pg.Client) => Promise<T>,
): Promise<T> {
  const db = new pg.Client({
    connectionString: market.stack.databaseUrl,
    connectionTimeoutMillis: 3000,
    query_timeout: 20_000,
  });
  db.on('error', () => {});
  await db.connect();
  try {
    return await use(db);
  } finally {
    await db.end().catch(() => {});
  }
}

export async function rent(market: FaultMarket, request: Record<string, unknown> = {}): Promise<string> {
  const created = await market.renter.post('/api/v1/rentals', {
    offerId: market.offerId,
    command: COUNTER,
    sshPublicKeys: [market.key.publicKey],
    ttlSeconds: 3600,
    ...request,
  });
  return String(created.id);
}

export async function view(market: FaultMarket, id: string): Promise<RentalView> {
  return (await market.renter.get(`/api/v1/rentals/${id}`)) as RentalView;
}

/** The arguments for the real `ssh`, with the host key that the API shows: another one is refused. */
export function sshTo(market: FaultMarket, rental: RentalView): string[] {
  return sshArguments({ rental, privateKey: market.key.privateKey, folder: join(market.stack.dataDir, 'secrets') });
}

/** A new log-in and one command. Returns what it printed. */
export async function logIn(
  market: FaultMarket,
  rental: RentalView,
  command: string,
  timeoutMs = 10_000,
): Promise<string> {
  return await runOverSsh(['-o', 'ConnectTimeout=5', ...sshTo(market, rental)], command, { timeoutMs });
}

/** The process of the node's frpc, by the note that its agent keeps. */
export function frpcPid(market: Pick<FaultMarket, 'stack'>, folder = market.stack.dataDir): number | undefined {
  const [note] = globSync(join(folder, 'agent/*/*/process.json'));
  if (note === undefined || !existsSync(note)) return undefined;
  return (JSON.parse(readFileSync(note, 'utf8')) as { pid: number }).pid;
}

/** Runs a program to its end; throws with what it said. */
export function must(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 60_000 });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}: ${stderr.trim()}`);
  return stdout;
}
