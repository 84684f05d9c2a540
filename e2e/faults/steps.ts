import { randomUUID } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { agentPart } from '../../tools/launch/agent.mjs';
import { processStartTime } from '../../tools/launch/process-table.mjs';
import { waitForRental } from '../../tools/launch/rental-life.mjs';
import { waitFor } from '../../tools/launch/wait.mjs';
import type { Message, Verdict } from '../harness/fault-proxy.ts';
import type { MessageRule, Part, Step } from './case.ts';
import {
  type FaultMarket,
  agentNode,
  agentOn,
  containersOf,
  docker,
  frpcPid,
  must,
  rent,
  startAgent,
  withDatabase,
} from './market.ts';
import { freeze, kill, pidOf } from './parts.ts';

/** What the steps of one case share. */
export interface StepContext {
  readonly market: FaultMarket;
  readonly rentalId: string;
  readonly renterId: string;
  /** Called while the fault lasts: what a renter would do then. */
  readonly during: () => Promise<void>;
  /** Further rentals that the steps made. */
  readonly others: string[];
  readonly failures: string[];
}

type Executors = {
  readonly [K in Step['do']]: (step: Extract<Step, { do: K }>, context: StepContext) => Promise<void>;
};

/** Does one step; returns when the fault is lifted. */
export async function takeStep(step: Step, context: StepContext): Promise<void> {
  // The key is the step's own kind, which TypeScript cannot follow through the index.
  await (executors[step.do] as (step: Step, context: StepContext) => Promise<void>)(step, context);
}

const executors: Executors = {
  async kill({ parts }, { market, during }) {
    const before = parts.map((part) => pidOf(market, part));
    for (const part of parts) kill(market, part);
    await during();
    for (const [i, part] of parts.entries()) await cameBack(market, part, before[i] ?? 0);
  },
  async away({ parts, ms }, { market, during }) {
    const { supervisor } = market.stack;
    const launched = parts.map((part) => supervisor.parts.get(part)?.part);
    for (const part of parts) {
      supervisor.expectEnd(part);
      kill(market, part);
    }
    await Promise.all([delay(ms), during()]);
    for (const part of launched.toReversed()) if (part) await supervisor.start(part);
  },
  async freeze({ parts, ms }, { market, during }) {
    const thaws = parts.map((part) => freeze(market, part));
    try {
      await Promise.all([delay(ms), during()]);
    } finally {
      for (const thaw of thaws) thaw();
    }
  },
  async messages({ rules, ms }, { market: { proxy }, during }) {
    proxy.toAgent = judge(rules.filter(({ from }) => from === 'backend'));
    proxy.toBackend = judge(rules.filter(({ from }) => from === 'agent'));
    try {
      await Promise.all([delay(ms), during()]);
    } finally {
      proxy.toAgent = proxy.toBackend = () => 'pass';
    }
  },
  async pause({ ms }) {
    await delay(ms);
  },
  async 'kill-in-tick'({ times }, context) {
    for (let i = 0; i < times; i += 1) await killInTick(context);
  },
  async 'reboot-node'(_, { market }) {
    const { supervisor } = market.stack;
    const frpc = frpcPid(market);
    supervisor.expectEnd('agent');
    kill(market, 'agent');
    if (frpc !== undefined && processStartTime(frpc) !== null) process.kill(frpc, 'SIGKILL');
    const running = await docker(market, 'ps', '--quiet', '--filter', `label=dc.node=${market.nodeId}`);
    if (running) await docker(market, 'kill', ...running.split('\n'));
    // No machine is back sooner than the backend may take it for a clone.
    await delay(6_000);
    market.machine = { bootId: randomUUID(), bootedLaterS: 600 };
    await startAgent(market);
  },
  async 'save-database'(_, { market }) {
    await withDatabaseStopped(market, (data) => must('cp', '-a', data, `${data}.saved`));
  },
  async 'restore-database'(_, { market }) {
    await withDatabaseStopped(market, (data) => {
      rmSync(data, { recursive: true, force: true });
      must('cp', '-a', `${data}.saved`, data);
      rmSync(`${data}.saved`, { recursive: true, force: true });
    });
  },
  async 'rent-another'(_, { market, others }) {
    const id = await rent(market);
    await waitForRental(market.renter, id, ['RUNNING'], { timeoutMs: 60_000 });
    others.push(id);
  },
  async 'stop-another'(_, { market, others }) {
    const id = others.at(-1) ?? '';
    await market.renter.post(`/api/v1/rentals/${id}/stop`);
    await waitForRental(market.renter, id, ['STOPPED'], { timeoutMs: 60_000 });
  },
  async 'expect-frozen'(_, { market, rentalId, others, failures }) {
    await waitFor('the freeze', async () => (await frozenAt(market)) !== null, { timeoutMs: 30_000 });
    // Longer than the grace of unknown containers.
    await delay(8_000);
    for (const id of [rentalId, ...others]) {
      const states = [...(await containersOf(market, id)).values()];
      if (states.length !== 1 || states[0] === null) failures.push('a container died under a restored database');
    }
  },
  async 'confirm-node'(_, { market, others, failures }) {
    await market.operator.post(`/api/v1/nodes/${market.nodeId}/confirm`);
    // The database knows nothing of the newer rentals: now their containers may go.
    for (const id of others.splice(0)) {
      const gone = async (): Promise<boolean> => (await containersOf(market, id)).size === 0;
      await waitFor('an unknown container to go', gone, { timeoutMs: 30_000 }).catch((error: Error) =>
        failures.push(error.message),
      );
    }
  },
  async 'second-agent'({ boot, ms }, context) {
    await withSecondAgent(context, boot, ms);
  },
  async 'fill-disk'({ of, ms }, { market, during }) {
    const filler = join(market.stack.dataDir, of, 'filler');
    await onSmallDisk(market, of, async () => {
      writeUntilFull(filler);
      await Promise.all([delay(ms), during()]);
      rmSync(filler);
    });
  },
  async 'step-clock'({ seconds }, { market, during }) {
    const clockFile = join(market.stack.dataDir, 'agent', 'clock-ahead');
    writeFileSync(clockFile, '0');
    await restartAgentOn(market, { ...market.machine, clockFile });
    await delay(3_000);
    writeFileSync(clockFile, String(seconds));
    await Promise.all([delay(5_000), during()]);
    const { clockFile: _, ...machine } = market.machine;
    await restartAgentOn(market, machine);
  },
};

/** Waits until a killed part runs again. */
async function cameBack(market: FaultMarket, part: Part, before: number): Promise<void> {
  const started = (): boolean => {
    const pid = pidOf(market, part);
    return pid !== before && processStartTime(pid) !== null;
  };
  await waitFor(`${part} to be started again`, started, { timeoutMs: 40_000 });
}

/** Each rule counts its own messages. */
function judge(rules: readonly MessageRule[]): (message: Message<string>) => Verdict {
  const counts = rules.map(() => 0);
  return ({ event }) => {
    const index = rules.findIndex(({ events }) => events === undefined || events.includes(event));
    const rule = rules[index];
    if (!rule) return 'pass';
    counts[index] = (counts[index] ?? 0) + 1;
    return counts[index] % rule.every === 0 ? rule.verdict : 'pass';
  };
}

/** Holds the renter's accounts, waits until the tick stands in front of them in its transaction, and kills the backend. */
async function killInTick({ market, renterId }: StepContext): Promise<void> {
  const before = pidOf(market, 'backend');
  await withDatabase(market, async (db) => {
    await db.query('BEGIN');
    await db.query(`SELECT FROM "LedgerAccount" WHERE "userId" = $1 FOR UPDATE`, [renterId]);
    const waiting = async (): Promise<boolean> => {
      const { rows } = await db.query(
        `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%LedgerAccount%' AND pid <> pg_backend_pid()`,
      );
      return rows.length > 0;
    };
    await waitFor('the tick in its transaction', waiting, { timeoutMs: 20_000 });
    kill(market, 'backend');
    await db.query('ROLLBACK');
  });
  await cameBack(market, 'backend', before);
  await waitFor('the backend', async () => await market.renter.get('/api/v1/balance'), { timeoutMs: 30_000 });
}

async function frozenAt(market: FaultMarket): Promise<unknown> {
  return await withDatabase(market, async (db) => {
    const { rows } = await db.query(`SELECT "frozenAt" FROM "HostNode" WHERE "id" = $1`, [market.nodeId]);
    return rows[0]?.['frozenAt'] ?? null;
  });
}

/** Stops backend and PostgreSQL in order, lets `work` at the data folder, and starts them again. */
async function withDatabaseStopped({ stack }: FaultMarket, work: (data: string) => unknown): Promise<void> {
  const { supervisor } = stack;
  const [backend, postgres] = ['backend', 'postgres'].map((name) => supervisor.parts.get(name)?.part);
  if (!backend || !postgres) throw new Error('backend or PostgreSQL does not run');
  await supervisor.stop('backend');
  await supervisor.stop('postgres');
  work(join(stack.dataDir, 'postgres'));
  await supervisor.start(postgres);
  await supervisor.start(backend);
}

async function restartAgentOn(market: FaultMarket, machine: FaultMarket['machine']): Promise<void> {
  await market.stack.supervisor.stop('agent');
  market.machine = machine;
  await startAgent(market);
}

async function withSecondAgent(context: StepContext, boot: 'other' | 'same', ms: number): Promise<void> {
  const { market, during, failures } = context;
  const { supervisor } = market.stack;
  const folder = join(market.stack.dataDir, 'second');
  must('mkdir', '-p', folder);
  must('cp', '-a', join(market.stack.dataDir, 'agent'), join(folder, 'agent'));
  must('rm', '-f', join(folder, 'agent/control.sock'), join(folder, 'agent/agent.lock'));
  // Its own frpc: the copied note names the process of the first.
  for (const note of must('find', join(folder, 'agent'), '-name', 'process.json').split('\n').filter(Boolean))
    rmSync(note);
  const machine = boot === 'other' ? { bootId: randomUUID() } : market.machine;
  const part = { ...agentOn(agentPart(agentNode(market, folder)), machine), name: 'second' };
  try {
    await supervisor.start(part);
    await Promise.all([delay(ms), during()]);
    if (boot === 'other') await expectClone(market, failures);
  } finally {
    await supervisor.stop('second');
    const frpc = frpcPid(market, folder);
    if (frpc !== undefined && processStartTime(frpc) !== null) process.kill(frpc, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
  // One that was fenced stands back until its host starts it again.
  if (boot === 'same') await restartAgentOn(market, market.machine);
}

async function expectClone(market: FaultMarket, failures: string[]): Promise<void> {
  const { rows } = await withDatabase(
    market,
    async (db) => await db.query(`SELECT "cloneSuspectedAt" FROM "HostNode" WHERE "id" = $1`, [market.nodeId]),
  );
  if (!rows[0]?.['cloneSuspectedAt']) failures.push('the second machine was not flagged as a clone');
}

/** Moves what a part writes onto a disk of 8 MiB for the time of `work`. */
async function onSmallDisk({ stack }: FaultMarket, name: 'agent' | 'guard', work: () => Promise<void>): Promise<void> {
  const { supervisor, dataDir } = stack;
  const [folder, kept] = [join(dataDir, name), join(dataDir, `${name}.kept`)];
  const part = supervisor.parts.get(name)?.part;
  if (!part) throw new Error(`${name} does not run`);
  await supervisor.stop(name);
  must('cp', '-a', folder, kept);
  must('mount', '-t', 'tmpfs', '-o', 'size=8m,mode=700', 'faults', folder);
  must('cp', '-a', `${kept}/.`, folder);
  rmSync(kept, { recursive: true });
  await supervisor.start(part);
  try {
    await work();
  } finally {
    await supervisor.stop(name);
    must('cp', '-a', folder, kept);
    must('umount', '-l', folder);
    must('cp', '-a', `${kept}/.`, folder);
    rmSync(kept, { recursive: true });
    await supervisor.start(part);
  }
}

function writeUntilFull(file: string): void {
  const chunk = Buffer.alloc(4096);
  for (;;) {
    try {
      writeFileSync(file, chunk, { flag: 'a' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return;
      throw error;
    }
  }
}
