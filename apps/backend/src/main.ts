import 'reflect-metadata';
import { ConfigError, loadConfig, roleSchema } from './config/index.js';
import { BootError } from './infra/boot-error.js';

try {
  if (loadConfig(roleSchema) === 'guard') await (await import('./guard/index.js')).runGuard();
  else await (await import('./backend.js')).runBackend();
} catch (error) {
  const expected = error instanceof ConfigError || error instanceof BootError;
  process.stderr.write(`${expected ? error.message : error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(1);
}
