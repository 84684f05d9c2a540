import { z } from 'zod';

export const PageQuery = z
  .object({
    limit: z.coerce.number().int().min(1).max(200).default(50),
    /** `nextCursor` of the page before. */
    cursor: z.string().max(200).optional(),
  })
  .meta({ id: 'PageQuery' });
export type PageQuery = z.infer<typeof PageQuery>;

/** A page of items in a stable order; `nextCursor` is null on the last one. */
export function pageOf<T extends z.ZodType>(item: T, id: string) {
  return z.object({ items: z.array(item), nextCursor: z.string().nullable() }).meta({ id });
}
