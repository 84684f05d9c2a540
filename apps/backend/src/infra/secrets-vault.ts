import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { SECRETS_CONFIG, type SecretsConfig } from '../config/index.js';
import type { Queryable, Tx } from './db.js';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

interface SecretRow {
  id: string;
  keyId: string;
  ciphertext: Buffer;
}

/**
 * Secrets at rest: AES-256-GCM with the row's id as associated data, so that a ciphertext cannot be moved to another
 * row. The first key of SECRETS_KEYS encrypts, all of them decrypt.
 */
@Injectable()
export class SecretsVault {
  constructor(@Inject(SECRETS_CONFIG) private readonly config: SecretsConfig) {}

  /** Stores `plaintext` and returns the id of its row. `kind` names what it is, for people. */
  async seal(tx: Tx, kind: string, plaintext: string): Promise<string> {
    const id = randomUUID();
    const row = this.encrypt(id, plaintext);
    await tx.query('INSERT INTO "Secret" ("id", "kind", "keyId", "ciphertext") VALUES ($1, $2, $3, $4)', [
      id,
      kind,
      row.keyId,
      row.ciphertext,
    ]);
    return id;
  }

  /** Opens a secret. Throws when it does not exist, was changed, or its key is no longer configured. */
  async open(db: Queryable, id: string): Promise<string> {
    const opened = (await this.openMany(db, [id])).get(id);
    if (opened === undefined) throw new Error(`secret ${id} does not exist`);
    return opened;
  }

  /** Opens several secrets in one statement; those that do not exist are left out. */
  async openMany(db: Queryable, ids: readonly string[]): Promise<Map<string, string>> {
    if (ids.length === 0) return new Map();
    const rows = await db.query<SecretRow>(
      'SELECT "id", "keyId", "ciphertext" FROM "Secret" WHERE "id" = ANY ($1::uuid[])',
      [ids],
    );
    return new Map(rows.map((row) => [row.id, this.decrypt(row)]));
  }

  encrypt(id: string, plaintext: string): { keyId: string; ciphertext: Buffer } {
    const [key] = this.config.keys;
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', key.bytes, nonce).setAAD(Buffer.from(id));
    const body = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final()]);
    return { keyId: key.id, ciphertext: Buffer.concat([nonce, cipher.getAuthTag(), body]) };
  }

  decrypt(row: SecretRow): string {
    const key = this.config.keys.find(({ id }) => id === row.keyId);
    if (!key) throw new Error(`secret ${row.id} needs key "${row.keyId}", which SECRETS_KEYS does not have`);
    const nonce = row.ciphertext.subarray(0, NONCE_BYTES);
    const tag = row.ciphertext.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES);
    const decipher = createDecipheriv('aes-256-gcm', key.bytes, nonce).setAAD(Buffer.from(row.id)).setAuthTag(tag);
    return (
      decipher.update(row.ciphertext.subarray(NONCE_BYTES + TAG_BYTES), undefined, 'utf8') + decipher.final('utf8')
    );
  }
}
