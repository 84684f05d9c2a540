import type { FaultMarket } from './market.ts';

/** Runs `work` under other settings of the backend: it is stopped in order and started with them, and back again after. */
export async function withBackendSettings(
  market: FaultMarket,
  settings: Readonly<Record<string, string>>,
  work: () => Promise<void>,
): Promise<void> {
  if (Object.keys(settings).length === 0) return await work();
  const { supervisor } = market.stack;
  const usual = supervisor.parts.get('backend')?.part;
  if (!usual) throw new Error('the backend does not run');
  await supervisor.stop('backend');
  await supervisor.start({ ...usual, env: { ...usual.env, ...settings } });
  try {
    await work();
  } finally {
    await supervisor.stop('backend');
    await supervisor.start(usual);
  }
}
