import { appSchema, guardSchema, loadConfig } from '../config/index.js';
import { Logger } from '../infra/logger.js';
import { startGuard } from './guard.js';

const STOP_LIMIT_MS = 10_000;

/** `APP_ROLE=guard`: one guard for a process of its own, until SIGTERM or SIGINT. Throws a ConfigError. */
export async function runGuard(): Promise<void> {
  const config = loadConfig(guardSchema);
  const logger = new Logger(loadConfig(appSchema));
  const guard = await startGuard(config, logger);
  const stop = (signal: NodeJS.Signals): void => {
    logger.info('guard.stopping', { signal });
    setTimeout(() => process.exit(1), STOP_LIMIT_MS).unref();
    guard.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error('guard.stop_failed', error);
        process.exit(1);
      },
    );
  };
  process.once('SIGTERM', stop).once('SIGINT', stop);
}

export { type Guard, startGuard } from './guard.js';
