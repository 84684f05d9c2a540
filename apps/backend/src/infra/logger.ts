import { Inject, Injectable } from '@nestjs/common';
import { pino } from 'pino';
import { APP_CONFIG, type AppConfig } from '../config/index.js';

/** Fields that never reach a log, wherever they stand in a record. */
const SECRET_FIELDS = [
  'password',
  'secret',
  'token',
  'authorization',
  'cookie',
  'hostKey',
  'apiKey',
  'privateKey',
  'env',
];

/** Structured logs: a constant event name and fields, never a sentence with values glued in. */
@Injectable()
export class Logger {
  readonly #pino;

  constructor(@Inject(APP_CONFIG) config: AppConfig) {
    this.#pino = pino({
      level: config.logLevel,
      base: { role: config.role },
      redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]), censor: '[hidden]' },
    });
  }

  debug(event: string, fields: Record<string, unknown> = {}): void {
    this.#pino.debug({ event, ...fields });
  }

  info(event: string, fields: Record<string, unknown> = {}): void {
    this.#pino.info({ event, ...fields });
  }

  warn(event: string, fields: Record<string, unknown> = {}): void {
    this.#pino.warn({ event, ...fields });
  }

  /** `error` is logged with its stack; its message must not hold a secret. */
  error(event: string, error: unknown, fields: Record<string, unknown> = {}): void {
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    this.#pino.error({ event, ...fields, message, stack });
  }
}
