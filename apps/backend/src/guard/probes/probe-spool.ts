import { readFile, rm } from 'node:fs/promises';
import { GuardProbe } from '@dcompute/shared-types';
import { z } from 'zod';
import type { Logger } from '../../infra/logger.js';
import { isMissing } from '../leases/book-file.js';
import { writeFileDurably } from '../write-file-durably.js';

/** The newest are kept: they prove the most recent time. */
const MOST_PROBES = 50_000;

/** Probes that the platform has not confirmed yet, in the order of their making; kept on disk while it is away. */
export class ProbeSpool {
  #probes: GuardProbe[] = [];
  #onDisk = false;

  constructor(
    private readonly file: string,
    private readonly logger: Logger,
  ) {}

  get size(): number {
    return this.#probes.length;
  }

  add(probe: GuardProbe): void {
    this.#probes.push(probe);
    if (this.#probes.length <= MOST_PROBES) return;
    this.#probes.splice(0, this.#probes.length - MOST_PROBES);
    this.logger.warn('guard.probe_spool_full', { most: MOST_PROBES });
  }

  first(count: number): GuardProbe[] {
    return this.#probes.slice(0, count);
  }

  /** Forgets probes that the platform has confirmed. */
  confirm(confirmed: readonly GuardProbe[]): void {
    const done = new Set(confirmed);
    this.#probes = this.#probes.filter((probe) => !done.has(probe));
  }

  async load(): Promise<void> {
    try {
      this.#probes = z
        .array(GuardProbe)
        .parse(JSON.parse(await readFile(this.file, 'utf8')))
        .slice(-MOST_PROBES);
      this.#onDisk = true;
    } catch (error) {
      if (!isMissing(error)) this.logger.error('guard.probe_spool_unreadable', error);
    }
  }

  /** Makes the file what is in memory; without probes there is none. */
  async save(): Promise<void> {
    const probes = this.#probes;
    if (probes.length === 0 && !this.#onDisk) return;
    try {
      if (probes.length === 0) await rm(this.file, { force: true });
      else await writeFileDurably(this.file, JSON.stringify(probes));
      this.#onDisk = probes.length > 0;
    } catch (error) {
      this.logger.error('guard.probe_spool_not_written', error);
    }
  }
}
