import { z } from 'zod';
import type { GuardConfig } from '../../config/guard.config.js';

const ANSWER_LIMIT_MS = 5_000;
/** Many probes fail together when frps dies: they share one question. */
const UP_FOR_MS = 500;
const ProxyInfo = z.object({ status: z.string() });

/** frps's own API on loopback, which only reads. */
export class FrpsAdmin {
  #up: { readonly answer: Promise<boolean>; readonly atMs: number } | undefined;

  constructor(private readonly config: GuardConfig['frpsAdmin']) {}

  /** Whether frps answers at all. Never throws. */
  async isUp(): Promise<boolean> {
    const now = Date.now();
    if (!this.#up || now - this.#up.atMs > UP_FOR_MS) this.#up = { answer: this.#askHealth(), atMs: now };
    return await this.#up.answer;
  }

  /** Whether frps has a proxy open under this wire name. Throws when frps does not answer. */
  async isOpen(wireName: string): Promise<boolean> {
    const { url, user, password } = this.config;
    const response = await fetch(`${url.replace(/\/$/, '')}/api/proxies/${encodeURIComponent(wireName)}`, {
      headers: { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` },
      signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
    });
    if (response.status === 404) return false;
    if (!response.ok) throw new Error(`frps answered ${response.status} on its own API`);
    return ProxyInfo.parse(await response.json()).status !== 'offline';
  }

  async #askHealth(): Promise<boolean> {
    const signal = AbortSignal.timeout(ANSWER_LIMIT_MS);
    return await fetch(`${this.config.url.replace(/\/$/, '')}/healthz`, { signal }).then(
      (response) => response.ok,
      () => false,
    );
  }
}
