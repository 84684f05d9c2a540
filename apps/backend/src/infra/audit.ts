import { Injectable } from '@nestjs/common';
import type { Tx } from './db.js';

export interface AuditRecord {
  /** The person who acted; null for the platform itself. */
  readonly actorId: string | null;
  readonly accountId: string | null;
  /** `noun.verb`, such as `rental.create`. */
  readonly action: string;
  readonly subjectType: string;
  readonly subjectId: string;
  /** Never a secret. */
  readonly data?: Record<string, unknown>;
  readonly ip?: string | null;
}

/** Who changed what: one row per mutation, in its transaction. */
@Injectable()
export class Audit {
  async write(tx: Tx, record: AuditRecord): Promise<void> {
    await tx.query(
      `INSERT INTO "AuditRow" ("actorId", "accountId", "action", "subjectType", "subjectId", "data", "ip")
       VALUES ($1, $2, $3, $4, $5, $6, $7)`,
      [
        record.actorId,
        record.accountId,
        record.action,
        record.subjectType,
        record.subjectId,
        JSON.stringify(record.data ?? {}),
        record.ip ?? null,
      ],
    );
  }
}
