import type { LoggerService } from '@nestjs/common';
import type { Logger } from '../infra/index.js';

/** Nest's own messages as structured logs. Its start-up chatter is for debugging. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, context?: unknown): void {
    this.logger.debug('nest.log', { context, text: String(message) });
  }

  warn(message: unknown, context?: unknown): void {
    this.logger.warn('nest.warning', { context, text: String(message) });
  }

  error(message: unknown, stack?: unknown): void {
    this.logger.error('nest.error', message instanceof Error ? message : new Error(String(message)), { text: stack });
  }
}
