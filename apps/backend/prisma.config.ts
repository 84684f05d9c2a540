import { defineConfig } from 'prisma/config';

/** For `prisma generate`, which needs no database: migrations are applied by dist/commands/migrate.js. */
export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
});
