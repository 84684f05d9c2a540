import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { readJsonFile, writeWhole } from './whole-file.mjs';

/**
 * The secrets of one market on embedded parts: made once, kept under `.data/secrets` for the owner only.
 * @param {string} dataDir
 */
export function loadSecrets(dataDir) {
  const file = join(dataDir, 'secrets', 'launcher.json');
  const kept = readJsonFile(file);
  if (kept) return kept;
  const secrets = {
    postgresSuperuser: text(),
    databaseOwner: text(),
    databaseApp: text(),
    secretsKeys: `k1:${randomBytes(32).toString('base64')}`,
    embeddedAuth: text(),
    operatorEmail: 'operator@market.example',
    operatorPassword: text(),
    guardCredential: text(),
    frpsToken: text(),
    frpsAdminPassword: text(),
    proxyServerId: crypto.randomUUID(),
  };
  writeWhole(file, JSON.stringify(secrets, null, 2));
  return secrets;
}

const text = () => randomBytes(24).toString('base64url');
