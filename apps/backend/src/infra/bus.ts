import { EventEmitter } from 'node:events';
import { Injectable } from '@nestjs/common';
import type { NodeStatus } from '@dcompute/shared-types';
import { Logger } from './logger.js';

/** Every topic of the bus. Messages are hints: a lost one costs a poll, never a rental. */
export interface BusTopics {
  /** What a node should run has changed. */
  'node.changed': { nodeId: string };
  'node.health_changed': { nodeId: string; status: NodeStatus };
  /** A newer session of a node exists: an older socket has to go. */
  'node.session_started': { nodeId: string; sessionEpoch: number };
  'hostkey.revoked': { hostKeyId: string };
  /** New proof of time is committed for these rentals. */
  'metering.evidence': { rentalIds: readonly string[] };
  /** Leases or tokens of a proxy server have changed. */
  'proxy.changed': { proxyServerId: string };
  /** Rows of the event outbox are committed for this account. */
  'outbox.appended': { accountId: string };
}

/** Wakes the parts of one process. Across replicas Redis carries the same topics. */
@Injectable()
export class Bus {
  readonly #emitter = new EventEmitter({ captureRejections: true });

  constructor(private readonly logger: Logger) {
    this.#emitter.setMaxListeners(100);
    this.#emitter.on('error', (error) => this.logger.error('bus.handler_failed', error));
  }

  publish<T extends keyof BusTopics>(topic: T, payload: BusTopics[T]): void {
    this.#emitter.emit(topic, payload);
  }

  /** Calls `handler` for each message; returns a function that ends it. A failing handler is logged, others go on. */
  subscribe<T extends keyof BusTopics>(topic: T, handler: (payload: BusTopics[T]) => void | Promise<void>): () => void {
    const listener = (payload: BusTopics[T]): void => {
      void (async () => handler(payload))().catch((error: unknown) =>
        this.logger.error('bus.handler_failed', error, { topic }),
      );
    };
    this.#emitter.on(topic, listener);
    return () => void this.#emitter.off(topic, listener);
  }
}
