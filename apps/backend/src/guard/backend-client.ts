import { type GuardProbe, GuardSync } from '@dcompute/shared-types';
import type { GuardConfig } from '../config/guard.config.js';

/** Beyond the time that the backend itself may wait. */
const ANSWER_LIMIT_MS = 5_000;

/** The platform is away, or answered with an error. */
class BackendUnavailable extends Error {}

/** The guard's questions and reports to the platform, under its own credential. Throws BackendUnavailable. */
export class BackendClient {
  constructor(private readonly config: Pick<GuardConfig, 'backendUrl' | 'credential'>) {}

  /** What changed after `sinceRev`; waits for a change for `waitMs` at most. */
  async changesSince(sinceRev: number, options: { waitMs: number; signal: AbortSignal }): Promise<GuardSync> {
    const path = `leases?sinceRev=${sinceRev}&waitMs=${options.waitMs}`;
    const response = await this.#send(path, { signal: options.signal }, options.waitMs + ANSWER_LIMIT_MS);
    return GuardSync.parse(await response.json());
  }

  async reportProbes(probes: readonly GuardProbe[]): Promise<void> {
    await this.#post('probes', { probes });
  }

  async reportClosed(leaseIds: readonly string[]): Promise<void> {
    await this.#post('closed', { leaseIds });
  }

  async #post(path: string, body: unknown): Promise<void> {
    const response = await this.#send(path, { method: 'POST', body: JSON.stringify(body) }, ANSWER_LIMIT_MS);
    await response.arrayBuffer();
  }

  async #send(path: string, init: Omit<RequestInit, 'headers'>, limitMs: number): Promise<Response> {
    const signals = [AbortSignal.timeout(limitMs), ...(init.signal ? [init.signal] : [])];
    const response = await fetch(`${this.config.backendUrl.replace(/\/$/, '')}/internal/guard/v1/${path}`, {
      ...init,
      headers: {
        authorization: `Bearer ${this.config.credential}`,
        ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      signal: AbortSignal.any(signals),
    }).catch((error: unknown) => {
      throw new BackendUnavailable('the platform did not answer', { cause: error });
    });
    if (response.ok) return response;
    throw new BackendUnavailable(`the platform answered ${response.status}: ${(await response.text()).slice(0, 500)}`);
  }
}
