import { readFile } from 'node:fs/promises';
import { GuardLease, GuardNode } from '@dcompute/shared-types';
import { z } from 'zod';
import type { Logger } from '../../infra/logger.js';
import { writeFileDurably } from '../write-file-durably.js';
import type { BookSnapshot } from './lease-book.js';

const BookFileContent = z.object({
  version: z.literal(1),
  proxyServerId: z.uuid(),
  rev: z.number().int().min(0),
  leases: z.array(GuardLease),
  nodes: z.array(GuardNode),
});

/** The lease book on disk: what a guard goes by when it starts while the platform is away. Holds no secret. */
export class BookFile {
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;
  #again: (() => BookSnapshot) | undefined;

  constructor(
    private readonly file: string,
    private readonly proxyServerId: string,
    private readonly logger: Logger,
  ) {}

  /** Null where there is none, or none of this proxy server: then the platform has to be asked first. */
  async load(): Promise<BookSnapshot | null> {
    try {
      const content = BookFileContent.parse(JSON.parse(await readFile(this.file, 'utf8')));
      return content.proxyServerId === this.proxyServerId ? content : null;
    } catch (error) {
      if (!isMissing(error)) this.logger.error('guard.book_unreadable', error, { file: this.file });
      return null;
    }
  }

  /** Writes the book soon. While a write is under way all further ones become one. */
  save(snapshot: () => BookSnapshot): void {
    this.#again = snapshot;
    if (!this.#isWriting) this.#writing = this.#writeAll();
  }

  /** Resolves once everything saved so far is on disk. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    for (let next = this.#again; next; next = this.#again) {
      this.#again = undefined;
      const content = { version: 1, proxyServerId: this.proxyServerId, ...next() };
      await writeFileDurably(this.file, JSON.stringify(content)).catch((error: unknown) =>
        this.logger.error('guard.book_not_written', error, { file: this.file }),
      );
    }
    this.#isWriting = false;
  }
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
