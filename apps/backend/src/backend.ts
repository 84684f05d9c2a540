import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { APP_CONFIG, type AppConfig, databaseSchema, httpSchema, loadConfig } from './config/index.js';
import { type RegisteredRoute, configureHttp } from './http/configure-http.js';
import { buildHttpAdapter } from './http/http-adapter.js';
import { NestLogger } from './http/nest-logger.js';
import { buildOpenApi } from './http/openapi.js';
import { OpenApiDocument } from './http/openapi.controller.js';
import { BootError, Logger, admitOneBackend, assertDatabaseUsable } from './infra/index.js';

/** A backend that listens. */
export interface Backend {
  readonly app: NestFastifyApplication;
  readonly url: string;
  /** Every route of the router. */
  readonly routes: readonly RegisteredRoute[];
  /** Ends requests under way, timers and connections, in that order. */
  close(): Promise<void>;
}

/**
 * Starts a backend in the role that its configuration names and returns when it listens. Throws a ConfigError or a
 * BootError, whose message says what to do, and leaves nothing running.
 */
export async function startBackend(env?: NodeJS.ProcessEnv): Promise<Backend> {
  const module = AppModule.from(env);
  const { databaseUrl } = loadConfig(databaseSchema, env);
  await assertDatabaseUsable(databaseUrl);
  let app: NestFastifyApplication | undefined;
  const admission = await admitOneBackend(databaseUrl, () => {
    app?.get(Logger).error('backend.not_alone', new Error('another backend took over this database'));
    process.kill(process.pid, 'SIGTERM');
  });
  const close = async (): Promise<void> => {
    await app?.close();
    await admission.release();
  };
  try {
    app = await NestFactory.create<NestFastifyApplication>(module, buildHttpAdapter(loadConfig(httpSchema, env)), {
      abortOnError: false,
      bufferLogs: true,
    });
    app.useLogger(new NestLogger(app.get(Logger)));
    const routes = configureHttp(app);
    await app.init();
    const config = app.get<AppConfig>(APP_CONFIG);
    app.get(OpenApiDocument).current = buildOpenApi(app, config.publicUrl);
    await listen(app, config);
    app.get(Logger).info('backend.listening', { host: config.host, port: config.port });
    return { app, routes, close, url: `http://${config.host}:${config.port}` };
  } catch (error) {
    await close();
    throw error;
  }
}

async function listen(app: NestFastifyApplication, { port, host }: AppConfig): Promise<void> {
  try {
    await app.listen(port, host);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
      throw new BootError(`PORT: ${host}:${port} is taken by another program.`, { cause: error });
    }
    throw error;
  }
}

/** `startBackend` for a process of its own: ends cleanly on SIGTERM and SIGINT, or by force when that takes too long. */
export async function runBackend(): Promise<void> {
  const { shutdownLimitMs } = loadConfig(httpSchema);
  const backend = await startBackend();
  const logger = backend.app.get(Logger);
  const stop = (signal: NodeJS.Signals): void => {
    logger.info('backend.stopping', { signal });
    setTimeout(() => {
      logger.error('backend.stop_took_too_long', new Error(`not stopped within ${shutdownLimitMs} ms`));
      process.exit(1);
    }, shutdownLimitMs).unref();
    backend.close().then(
      () => logger.info('backend.stopped'),
      (error: unknown) => {
        logger.error('backend.stop_failed', error);
        process.exitCode = 1;
      },
    );
  };
  process.once('SIGTERM', stop).once('SIGINT', stop);
}
