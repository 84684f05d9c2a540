import { Logger } from './logger.js';

/**
 * Runs `work` again and again, `intervalMs` after it ended, until the returned function is called, which waits for a run
 * that is under way. A failing run is logged and the next one comes all the same.
 */
export function repeat(
  name: string,
  intervalMs: number,
  logger: Logger,
  work: () => Promise<void>,
): () => Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let stopped = false;
  const schedule = (): void => {
    if (!stopped) timer = setTimeout(() => void (running = run()), intervalMs);
  };
  const run = async (): Promise<void> => {
    await work().catch((error: unknown) => logger.error('timer.run_failed', error, { timer: name }));
    schedule();
  };
  schedule();
  return async () => {
    stopped = true;
    clearTimeout(timer);
    await running;
  };
}
