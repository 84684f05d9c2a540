import { Injectable } from '@nestjs/common';
import { Bus } from './bus.js';
import type { Tx } from './db.js';

export interface OutboxEvent {
  /** Whose event it is: the account that may read it. */
  readonly accountId: string;
  readonly type: string;
  readonly subjectId: string;
  readonly data: Record<string, unknown>;
}

/** Events for server-sent events and webhooks, written in the transaction of the change they tell of. */
@Injectable()
export class Outbox {
  constructor(private readonly bus: Bus) {}

  async append(tx: Tx, events: readonly OutboxEvent[]): Promise<void> {
    if (events.length === 0) return;
    await tx.query(
      `INSERT INTO "OutboxEvent" ("accountId", "type", "subjectId", "data")
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[])`,
      [
        events.map((event) => event.accountId),
        events.map((event) => event.type),
        events.map((event) => event.subjectId),
        events.map((event) => JSON.stringify(event.data)),
      ],
    );
    const accounts = new Set(events.map((event) => event.accountId));
    tx.afterCommit(() => accounts.forEach((accountId) => this.bus.publish('outbox.appended', { accountId })));
  }
}
