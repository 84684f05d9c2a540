import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { Logger } from '../../infra/logger.js';
import { PluginRequest, type PluginResponse } from './frp-messages.js';

const BODY_LIMIT_BYTES = 64 * 1024;
const REQUEST_LIMIT_MS = 5_000;
/** frps keeps idle connections for 90 s: it has to be the one that closes them, or a call is lost that it never repeats. */
const KEEP_ALIVE_MS = 120_000;
const MAX_CONNECTIONS = 2_048;

export interface PluginServerPorts {
  readonly answer: (request: PluginRequest) => Promise<PluginResponse>;
  readonly health: () => Readonly<Record<string, unknown>>;
  readonly logger: Logger;
}

/** The server that frps asks (`POST /internal/frp`), and `GET /health`. */
export class PluginServer {
  readonly #server: Server;

  constructor(private readonly ports: PluginServerPorts) {
    this.#server = createServer(
      { keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: REQUEST_LIMIT_MS },
      (request, response) => {
        this.#handle(request, response).catch((error: unknown) => {
          this.ports.logger.error('guard.request_failed', error);
          send(response, 200, { reject: true, reject_reason: 'the guard failed' });
        });
      },
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  async listen(address: { readonly host: string; readonly port: number }): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(address.port, address.host, resolve);
    });
  }

  /** Takes no more calls; those under way are answered. */
  async close(): Promise<void> {
    const force = setTimeout(() => this.#server.closeAllConnections(), REQUEST_LIMIT_MS);
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    clearTimeout(force);
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url?.split('?')[0];
    if (request.method === 'GET' && path === '/health') return send(response, 200, this.ports.health());
    if (request.method !== 'POST' || path !== '/internal/frp') return send(response, 404, { error: 'not found' });
    const parsed = PluginRequest.safeParse(await readJson(request));
    if (!parsed.success) {
      this.ports.logger.warn('guard.malformed_call', {
        issues: parsed.error.issues.slice(0, 5).map((issue) => issue.message),
      });
      return send(response, 200, { reject: true, reject_reason: 'malformed' });
    }
    send(response, 200, await this.ports.answer(parsed.data));
  }
}

/** Undefined for what is no JSON or too large. */
async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_LIMIT_BYTES) return undefined;
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    return undefined;
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent) return;
  const text = JSON.stringify(body);
  response
    .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
    .end(text);
}
