import { readFileSync, readdirSync } from 'node:fs';
import type { Part } from './case.ts';
import { type FaultMarket, frpcPid } from './market.ts';

/** The process that is the part. */
export function pidOf(market: FaultMarket, part: Part): number {
  const pid = part === 'frpc' ? frpcPid(market) : market.stack.supervisor.pidOf(part);
  if (pid === undefined) throw new Error(`${part} does not run`);
  return part === 'agent' ? lastOfLine(pid) : pid;
}

/** SIGKILL: nothing of the part gets a chance to say good-bye. */
export function kill(market: FaultMarket, part: Part): void {
  process.kill(pidOf(market, part), 'SIGKILL');
}

/**
 * SIGSTOP to the part and its children, each of which must not go on alone; returns how to let all go on. What a part
 * started to outlive it (frpc, containers) is not its child any more.
 */
export function freeze(market: FaultMarket, part: Part): () => void {
  const pids = familyOf(pidOf(market, part)).filter((pid) => part !== 'agent' || pid !== frpcPid(market));
  for (const pid of pids) send(pid, 'SIGSTOP');
  return () => {
    for (const pid of pids) send(pid, 'SIGCONT');
  };
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** A process and its descendants. */
function familyOf(pid: number): number[] {
  const children = childrenByParent();
  const family = [pid];
  for (const member of family) family.push(...(children.get(member) ?? []));
  return family;
}

/** Where a part was started through `unshare`, the program itself. */
function lastOfLine(pid: number): number {
  const name = readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  const [child] = name === 'unshare' ? (childrenByParent().get(pid) ?? []) : [];
  return child ?? pid;
}

function childrenByParent(): Map<number, number[]> {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
    } catch {
      // gone between readdir and read
    }
  }
  return children;
}
