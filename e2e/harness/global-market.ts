import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { buildParts } from '../../tools/launch/build.mjs';
import { ensureDefaultImage } from '../../tools/launch/image.mjs';
import { startMarketStack } from '../../tools/launch/market-stack.mjs';
import { freePort } from '../../tools/launch/ports.mjs';
import { createProgress } from '../../tools/launch/progress.mjs';
import { takeThrowAwayFolder } from '../../tools/launch/throw-away.mjs';
import { SHORT_LIMITS } from './limits.js';

/** What a test knows of the market that the whole run shares. */
export interface Market {
  readonly url: string;
  readonly dataDir: string;
  readonly dockerHost: string;
  readonly databaseUrl: string;
  readonly operator: { readonly email: string; readonly password: string };
  readonly programs: { readonly agent: string; readonly frpc: string; readonly guest: string; readonly node: string };
}

declare module 'vitest' {
  export interface ProvidedContext {
    market: Market;
  }
}

/** Starts PostgreSQL, backend, guard and frps once for the whole run, on a throw-away data folder. */
export default async function startMarket(project: TestProject): Promise<() => Promise<void>> {
  const root = join(import.meta.dirname, '../..');
  const progress = createProgress({ quiet: true });
  const { dataDir, remove } = await takeThrowAwayFolder('e2e', progress);
  let stack: MarketStack | undefined;
  const stop = async (): Promise<void> => {
    await stack?.stop();
    remove();
  };
  try {
    const built = await buildParts({ root, progress, logDir: join(dataDir, 'logs') });
    const mode = { fixedPorts: false, runtime: 'docker' as const, env: SHORT_LIMITS };
    stack = await startMarketStack({ root, dataDir, built, progress, port: await freePort(), mode });
    await provideMarket(project, stack);
    return stop;
  } catch (error) {
    await stop();
    throw error;
  }
}

type MarketStack = Awaited<ReturnType<typeof startMarketStack>>;

async function provideMarket(project: TestProject, stack: MarketStack): Promise<void> {
  const { dataDir, dockerHost, databaseUrl, built } = stack;
  if (dockerHost === undefined || databaseUrl === undefined) throw new Error('the market has no engine or no database');
  await ensureDefaultImage(dockerHost);
  project.provide('market', {
    url: stack.url,
    dataDir,
    dockerHost,
    databaseUrl,
    operator: { email: stack.secrets.operatorEmail, password: stack.secrets.operatorPassword },
    programs: { agent: built.agent, frpc: built.frpc, guest: built.guest, node: built.node },
  });
}
