import type { Row } from './case.ts';

const HEAD = ['fault', 'what the renter saw', 'well again after', 'charge = recomputation', 'verdict'];

/** The table as Markdown. */
export function tableOf(rows: readonly Row[]): string {
  const lines = [HEAD, HEAD.map(() => '---'), ...rows.map(cellsOf)];
  return lines.map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`).join('\n');
}

/** One row as a line for people who watch. */
export function lineOf(row: Row): string {
  const { name, renterSaw, charge, failures, tookMs } = row;
  const facts = [renterSaw, well(row), charge].filter(Boolean).join(' | ');
  const verdict = failures.length === 0 ? 'green' : 'RED  ';
  return [
    `${verdict} ${name} | ${facts} (${Math.round(tookMs / 1000)} s)`,
    ...failures.map((text) => `        ${text}`),
  ].join('\n');
}

function cellsOf(row: Row): string[] {
  return [
    row.name,
    row.renterSaw,
    well(row),
    row.charge,
    row.failures.length === 0 ? 'green' : `red: ${row.failures.join('; ')}`,
  ];
}

function well({ convergedMs }: Row): string {
  return convergedMs === null ? '-' : `${(convergedMs / 1000).toFixed(1)} s`;
}
