import type { PageQuery } from '@dcompute/shared-types';
import { CURSOR_PART, decodeCursor, encodeCursor } from '../../infra/index.js';

interface Dated {
  readonly id: string;
  readonly createdAt: Date;
}

/** Prisma's arguments for a page of an account's rows, newest first. Throws request.invalid for a foreign cursor. */
export function pageArguments(accountId: string, page: PageQuery) {
  const [moment, id] = decodeCursor(page.cursor, [CURSOR_PART.moment, CURSOR_PART.uuid]) ?? [];
  const createdAt = moment === undefined ? undefined : new Date(moment);
  const older = createdAt && id ? { OR: [{ createdAt: { lt: createdAt } }, { createdAt, id: { lt: id } }] } : {};
  return {
    where: { userId: accountId, ...older },
    orderBy: [{ createdAt: 'desc' as const }, { id: 'desc' as const }],
    take: page.limit,
  };
}

/** The cursor after a page; null when it was not full. */
export function cursorAfter(rows: readonly Dated[], page: PageQuery): string | null {
  const last = rows.length === page.limit ? rows.at(-1) : undefined;
  return last ? encodeCursor([last.createdAt.toISOString(), last.id]) : null;
}
