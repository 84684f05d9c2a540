/** What runs in every instance of the table: a number and the boot clock, five times a second. */
export const COUNTER = [
  '/bin/sh',
  '-c',
  'n=0; while :; do n=$((n+1)); read -r up idle < /proc/uptime; echo "$n $up"; sleep 0.2; done >> /root/counter',
];
export const READ_COUNTER = 'cat /root/counter';

/** A stretch without interruption, in milliseconds of the boot clock. */
export interface CounterRun {
  readonly ticks: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly longestGapMs: number;
  /** No number is missing or doubled. */
  readonly whole: boolean;
}

/** The runs of a counter: each begins at 1 again. */
export function readCounter(text: string): CounterRun[] {
  const lines = text
    .split('\n')
    .map((line) => /^(\d+) (\d+\.\d+)$/.exec(line))
    .filter((match) => match !== null)
    .map((match) => ({ n: Number(match[1]), ms: Math.round(Number(match[2]) * 1000) }));
  const runs: { n: number; ms: number }[][] = [];
  for (const line of lines) {
    if (line.n === 1) runs.push([]);
    runs.at(-1)?.push(line);
  }
  return runs.map((run) => ({
    ticks: run.length,
    fromMs: run[0]?.ms ?? 0,
    toMs: run.at(-1)?.ms ?? 0,
    longestGapMs: Math.max(0, ...run.slice(1).map((line, i) => line.ms - (run[i]?.ms ?? line.ms))),
    whole: run.every((line, i) => line.n === i + 1),
  }));
}
