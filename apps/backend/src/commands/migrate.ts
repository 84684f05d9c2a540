import { loadConfig, migrationSchema } from '../config/index.js';
import { MIGRATIONS_FOLDER, applyMigrations } from '../infra/migrations.js';

try {
  const { databaseUrl } = loadConfig(migrationSchema);
  const applied = await applyMigrations({ databaseUrl, folder: MIGRATIONS_FOLDER });
  process.stdout.write(applied.length > 0 ? `applied: ${applied.join(', ')}\n` : 'nothing to apply\n');
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
