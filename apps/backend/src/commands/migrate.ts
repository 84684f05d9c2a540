import { join } from 'node:path';
import { loadConfig, migrationSchema } from '../config/index.js';
import { applyMigrations } from '../infra/migrations.js';

const folder = join(import.meta.dirname, '../../prisma/migrations');

try {
  const { databaseUrl } = loadConfig(migrationSchema);
  const applied = await applyMigrations({ databaseUrl, folder });
  process.stdout.write(applied.length > 0 ? `applied: ${applied.join(', ')}\n` : 'nothing to apply\n');
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
