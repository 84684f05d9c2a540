import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { AppError, Database, SecretsVault, type Tx } from '../../infra/index.js';

const KEEP_DAYS = 7;
const MAX_KEY_LENGTH = 255;
/** Keys of one statement that forgets them. */
const FORGET_BATCH = 1_000;

export interface IdempotentRequest {
  readonly accountId: string;
  /** `POST /api/v1/rentals`, say: one key may be used on several routes. */
  readonly route: string;
  /** The `Idempotency-Key` header. */
  readonly key: string | undefined;
  /** The parsed request: another one under the same key is an error. */
  readonly body: unknown;
  /** True when the response holds a secret that is shown once: it is stored encrypted. */
  readonly secret?: boolean;
}

interface StoredResponse {
  requestHash: string;
  response: unknown;
  responseSecretId: string | null;
}

/**
 * One key, one effect. The response is stored in the transaction of the effect, so neither exists without the other; a
 * rejected request stores nothing. Keys are scoped to (account, route, key) and kept for 7 days.
 */
@Injectable()
export class IdempotencyService {
  constructor(
    private readonly db: Database,
    private readonly vault: SecretsVault,
  ) {}

  /**
   * Runs `effect`, or returns what it returned the first time. Throws idempotency.key_required, .in_progress (a
   * concurrent duplicate: nothing happened, try again) or .key_reused (same key, other body).
   */
  async run<T>(request: IdempotentRequest, effect: (tx: Tx) => Promise<T>): Promise<T> {
    const key = requireKey(request.key);
    const requestHash = createHash('sha256').update(stableJson(request.body)).digest('hex');
    return await this.db.transaction(async (tx) => {
      await this.#lock(tx, request, key);
      const stored = await this.#find(tx, request, key);
      if (stored) return await this.#replay<T>(tx, stored, requestHash);
      const response = await effect(tx);
      await this.#store(tx, request, { key, requestHash, response });
      return response;
    });
  }

  /** Removes keys whose time is over, with the secrets in their answers. */
  async forgetExpired(): Promise<void> {
    for (;;) {
      const forgotten = await this.db.query(
        `${FORGET} WHERE "id" IN (SELECT "id" FROM "IdempotencyKey" WHERE "expiresAt" <= now() LIMIT $1 FOR UPDATE SKIP LOCKED)
         ${FORGET_SECRETS}`,
        [FORGET_BATCH],
      );
      if (forgotten.length < FORGET_BATCH) return;
    }
  }

  /** Held until the transaction ends; a duplicate that comes meanwhile is told to try again. */
  async #lock(tx: Tx, request: IdempotentRequest, key: string): Promise<void> {
    const [row] = await tx.query<{ locked: boolean }>(
      'SELECT pg_try_advisory_xact_lock(hashtextextended($1, 1)) AS locked',
      [[request.accountId, request.route, key].join('\n')],
    );
    if (row?.locked) return;
    throw new AppError('idempotency.in_progress', {
      detail: 'A request with the same Idempotency-Key is being worked on. Try again in a second.',
      retryAfterSeconds: 1,
    });
  }

  async #find(tx: Tx, request: IdempotentRequest, key: string): Promise<StoredResponse | undefined> {
    const [row] = await tx.query<StoredResponse>(
      `SELECT "requestHash", "response", "responseSecretId" FROM "IdempotencyKey"
        WHERE "userId" = $1 AND "route" = $2 AND "key" = $3 AND "expiresAt" > now()`,
      [request.accountId, request.route, key],
    );
    return row;
  }

  async #replay<T>(tx: Tx, stored: StoredResponse, requestHash: string): Promise<T> {
    if (stored.requestHash !== requestHash) {
      throw new AppError('idempotency.key_reused', {
        detail: 'This Idempotency-Key was used for another request. Use a new key for a new request.',
      });
    }
    const json = stored.responseSecretId
      ? JSON.parse(await this.vault.open(tx, stored.responseSecretId))
      : stored.response;
    return json as T;
  }

  async #store(
    tx: Tx,
    request: IdempotentRequest,
    stored: { key: string; requestHash: string; response: unknown },
  ): Promise<void> {
    const json = JSON.stringify(stored.response);
    const secretId = request.secret ? await this.vault.seal(tx, 'idempotent_response', json) : null;
    // What is still there under this key has expired: `#find` did not see it.
    await tx.query(`${FORGET} WHERE "userId" = $1 AND "route" = $2 AND "key" = $3 ${FORGET_SECRETS}`, [
      request.accountId,
      request.route,
      stored.key,
    ]);
    await tx.query(
      `INSERT INTO "IdempotencyKey" ("userId", "route", "key", "requestHash", "status", "response", "responseSecretId", "expiresAt")
       VALUES ($1, $2, $3, $4, 201, $5, $6, now() + make_interval(days => $7))`,
      [request.accountId, request.route, stored.key, stored.requestHash, secretId ? null : json, secretId, KEEP_DAYS],
    );
  }
}

const FORGET = 'WITH gone AS (DELETE FROM "IdempotencyKey"';
const FORGET_SECRETS = `RETURNING "id", "responseSecretId"), secret AS (
  DELETE FROM "Secret" WHERE "id" IN (SELECT "responseSecretId" FROM gone)
) SELECT "id" FROM gone`;

function requireKey(key: string | undefined): string {
  if (key && key.length <= MAX_KEY_LENGTH) return key;
  throw new AppError('idempotency.key_required', {
    detail: `Send a header "Idempotency-Key" with a value of your own (a UUID, say; at most ${MAX_KEY_LENGTH} characters), and the same one when you try again.`,
  });
}

/** JSON with sorted keys: the order in which a client writes fields does not make another request. */
function stableJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    item !== null && typeof item === 'object' && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}
