import type pg from 'pg';
import type { PrismaIndex, PrismaModels, PrismaTable } from './prisma-schema.js';

/** What the migrated database is, in the form in which schema.prisma is read. */
export async function readDatabase(db: pg.Client): Promise<PrismaModels> {
  const enums = await db.query<{ name: string; labels: string[] }>(
    `SELECT t.typname AS name, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels
       FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY t.typname`,
  );
  const columns = await db.query<{ table: string; name: string; type: string; nullable: boolean; hasDefault: boolean }>(
    `SELECT c.relname AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
            NOT a.attnotnull AS nullable, a.atthasdef AS "hasDefault"
       FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> '_prisma_migrations'`,
  );
  const indexes = await db.query<{ table: string; name: string; primary: boolean } & PrismaIndex>(
    `SELECT t.relname AS table, i.relname AS name, x.indisunique AS unique, x.indisprimary AS primary,
            array(SELECT a.attname || CASE WHEN (x.indoption[k.n - 1] & 1) = 1 THEN ' DESC' ELSE '' END
                    FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)
                    JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum ORDER BY k.n) AS columns,
            pg_get_expr(x.indpred, x.indrelid) AS where
       FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
      WHERE t.relnamespace = 'public'::regnamespace`,
  );
  const keys = await db.query<{ table: string; name: string; column: string; references: string }>(
    `SELECT t.relname AS table, k.conname AS name, a.attname AS column, f.relname AS references
       FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_class f ON f.oid = k.confrelid
       JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.conkey[1] WHERE k.contype = 'f'`,
  );
  const of = <T extends { table: string }>(rows: readonly T[], table: string): T[] =>
    rows.filter((row) => row.table === table);
  const tables = [...new Set(columns.rows.map(({ table }) => table))];
  return {
    enums: new Map(enums.rows.map(({ name, labels }) => [name, labels])),
    tables: new Map(
      tables.map((table): [string, PrismaTable] => [
        table,
        {
          columns: new Map(
            of(columns.rows, table).map(({ name, type, nullable, hasDefault }) => [
              name,
              { type, nullable, hasDefault },
            ]),
          ),
          primaryKey: of(indexes.rows, table).find(({ primary }) => primary)?.columns ?? [],
          indexes: new Map(
            of(indexes.rows, table)
              .filter(({ primary }) => !primary)
              .map(({ name, unique, columns: named, where }) => [name, { unique, columns: named, where }]),
          ),
          foreignKeys: new Map(
            of(keys.rows, table).map(({ name, column, references }) => [name, { column, references }]),
          ),
        },
      ]),
    ),
  };
}
