/** What schema.prisma says of the database, read from its text. It is formatted by `prisma format`: one thing a line. */
export interface PrismaModels {
  readonly enums: ReadonlyMap<string, readonly string[]>;
  readonly tables: ReadonlyMap<string, PrismaTable>;
}

export interface PrismaTable {
  readonly columns: ReadonlyMap<
    string,
    { readonly type: string; readonly nullable: boolean; readonly hasDefault: boolean }
  >;
  readonly primaryKey: readonly string[];
  readonly indexes: ReadonlyMap<string, PrismaIndex>;
  readonly foreignKeys: ReadonlyMap<string, { readonly column: string; readonly references: string }>;
}

export interface PrismaIndex {
  readonly unique: boolean;
  readonly columns: readonly string[];
  /** The condition of a partial index, as written; null for a whole one. */
  readonly where: string | null;
}

/** Types of schema.prisma as PostgreSQL's `format_type` writes them. */
const SQL_TYPES: Readonly<Record<string, string>> = {
  'String @db.Uuid': 'uuid',
  'String @db.Citext': 'citext',
  'Decimal @db.Decimal(20, 6)': 'numeric(20,6)',
  'DateTime @db.Timestamptz(3)': 'timestamp(3) with time zone',
  'Unsupported("xid8")': 'xid8',
  'Unsupported("int8multirange")': 'int8multirange',
  String: 'text',
  Int: 'integer',
  BigInt: 'bigint',
  Boolean: 'boolean',
  Json: 'jsonb',
  Bytes: 'bytea',
};

export function readPrismaSchema(text: string): PrismaModels {
  const blocks = [...text.matchAll(/^(model|enum) (\w+) \{\n([\s\S]*?)^\}/gm)].map(
    ([, kind, name = '', body = '']) => ({
      kind,
      name,
      lines: body
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== '' && !line.startsWith('//')),
    }),
  );
  const enums = new Map(blocks.filter(({ kind }) => kind === 'enum').map(({ name, lines }) => [name, lines]));
  const models = blocks.filter(({ kind }) => kind === 'model');
  const tableOf = new Map(
    models.map(({ name, lines }) => [name, quoted(lines.find((line) => line.startsWith('@@map('))) ?? name]),
  );
  return {
    enums,
    tables: new Map(
      models.map(({ name, lines }) => [
        tableOf.get(name) ?? name,
        readModel(tableOf.get(name) ?? name, lines, enums, tableOf),
      ]),
    ),
  };
}

function readModel(
  table: string,
  lines: readonly string[],
  enums: PrismaModels['enums'],
  tableOf: ReadonlyMap<string, string>,
): PrismaTable {
  const fields = lines.filter((line) => !line.startsWith('@@')).map(readField);
  const columns = fields.filter(({ base }) => !tableOf.has(base));
  const composite = lines.find((line) => line.startsWith('@@id('));
  return {
    columns: new Map(
      columns.map(({ name, base, list, optional, rest }) => [
        name,
        {
          type: sqlTypeOf(base, rest, enums) + (list ? '[]' : ''),
          nullable: optional,
          hasDefault: rest.includes('@default('),
        },
      ]),
    ),
    primaryKey: composite
      ? columnsOf(composite)
      : columns.filter(({ rest }) => /@id\b/.test(rest)).map(({ name }) => name),
    indexes: new Map([
      ...columns
        .filter(({ rest }) => /@unique\b/.test(rest))
        .map(({ name, rest }): [string, PrismaIndex] => [
          quoted(/@unique\(map: "[^"]+"\)/.exec(rest)?.[0]) ?? `${table}_${name}_key`,
          { unique: true, columns: [name], where: null },
        ]),
      ...lines.filter((line) => /^@@(unique|index)\(/.test(line)).map((line) => readIndex(table, line)),
    ]),
    foreignKeys: new Map(
      fields.flatMap(({ base, rest }) => {
        const relation = /@relation\(.*fields: \[(\w+)\], references: \[\w+\].*map: "([^"]+)"\)/.exec(rest);
        const [, column = '', name = ''] = relation ?? [];
        return relation ? [[name, { column, references: tableOf.get(base) ?? base }] as const] : [];
      }),
    ),
  };
}

function readField(line: string) {
  const [, name = '', base = '', list = '', optional = '', rest = ''] =
    /^(\w+)\s+(Unsupported\("\w+"\)|\w+)(\[\])?(\?)?\s*(.*)$/.exec(line) ?? [];
  if (name === '') throw new Error(`schema.prisma: not understood: ${line}`);
  return { name, base, list: list !== '', optional: optional !== '', rest };
}

function sqlTypeOf(base: string, rest: string, enums: PrismaModels['enums']): string {
  if (enums.has(base)) return `"${base}"`;
  const native = /@db\.\w+(\([^)]*\))?/.exec(rest)?.[0];
  const type = SQL_TYPES[native ? `${base} ${native}` : base];
  if (type === undefined) throw new Error(`schema.prisma: no SQL type is known for ${base} ${native ?? ''}`);
  return type;
}

function readIndex(table: string, line: string): [string, PrismaIndex] {
  const unique = line.startsWith('@@unique');
  const columns = columnsOf(line);
  const where = /where: raw\("((?:[^"\\]|\\.)*)"\)/.exec(line)?.[1]?.replaceAll('\\"', '"') ?? null;
  const name =
    /map: "([^"]+)"/.exec(line)?.[1] ??
    `${table}_${columns.map((column) => column.split(' ')[0]).join('_')}_${unique ? 'key' : 'idx'}`;
  return [name, { unique, columns, where }];
}

/** `[a, b(sort: Desc)]` is `a` and `b DESC`. */
function columnsOf(line: string): string[] {
  const list = /\(\[([^\]]*)\]/.exec(line)?.[1] ?? '';
  return list.split(/,\s*/).map((column) => column.replace('(sort: Desc)', ' DESC'));
}

function quoted(text: string | undefined): string | undefined {
  return /"([^"]+)"/.exec(text ?? '')?.[1];
}
