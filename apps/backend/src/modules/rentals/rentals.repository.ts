import type { Rental, RentalEvent } from '@dcompute/shared-types';
import type { Queryable } from '../../infra/index.js';
import { RENTAL_COLUMNS, type RentalRow, toRental } from './rental-view.js';

/** One rental; null when there is none, or when it belongs to another account than `ownerId` (null: anybody's). */
export async function findRental(db: Queryable, rentalId: string, ownerId: string | null): Promise<Rental | null> {
  const [row] = await db.query<RentalRow>(
    `SELECT ${RENTAL_COLUMNS} FROM "Rental" r WHERE r."id" = $1 AND ($2::uuid IS NULL OR r."renterId" = $2)`,
    [rentalId, ownerId],
  );
  return row ? toRental(row) : null;
}

/** A position in the order (newest first, id). */
export interface RentalPosition {
  readonly createdAt: string;
  readonly id: string;
}

/** Rentals of one account (null: of all), newest first, after a position. */
export async function listRentals(
  db: Queryable,
  filter: { readonly ownerId: string | null; readonly state: 'active' | 'ended' | 'all' },
  after: RentalPosition | null,
  limit: number,
): Promise<Rental[]> {
  const rows = await db.query<RentalRow>(
    `SELECT ${RENTAL_COLUMNS} FROM "Rental" r
      WHERE ($1::uuid IS NULL OR r."renterId" = $1)
        AND ($2 = 'all' OR (r."status" IN ('TERMINATED', 'FAILED')) = ($2 = 'ended'))
        AND ($3::timestamptz IS NULL OR r."createdAt" < $3 OR (r."createdAt" = $3 AND r."id" > $4::uuid))
      ORDER BY r."createdAt" DESC, r."id" LIMIT $5`,
    [filter.ownerId, filter.state, after?.createdAt ?? null, after?.id ?? null, limit],
  );
  return rows.map(toRental);
}

/** What happened to a rental, oldest first, after a sequence number; `lastSeq` is that of the last one returned. */
export async function listRentalEvents(
  db: Queryable,
  rentalId: string,
  page: { readonly afterSeq: string; readonly limit: number },
): Promise<{ items: RentalEvent[]; lastSeq: bigint | null }> {
  const rows = await db.query<Omit<RentalEvent, 'createdAt'> & { readonly createdAt: Date; readonly seq: bigint }>(
    `SELECT e."id", e."rentalId", e."type", e."fromStatus", e."toStatus", e."reason", e."message", e."createdAt", e."seq"
       FROM "RentalEvent" e WHERE e."rentalId" = $1 AND e."seq" > $2::bigint ORDER BY e."seq" LIMIT $3`,
    [rentalId, page.afterSeq, page.limit],
  );
  const items = rows.map(({ seq: _seq, ...row }) => ({ ...row, createdAt: row.createdAt.toISOString() }));
  return { items, lastSeq: rows.at(-1)?.seq ?? null };
}
