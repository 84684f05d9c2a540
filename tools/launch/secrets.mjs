import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The secrets of one market on embedded parts: made once, kept under `.data/secrets` for the owner only.
 * @param {string} dataDir
 */
export function loadSecrets(dataDir) {
  const file = join(dataDir, 'secrets', 'launcher.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'));
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
  writeFileSync(`${file}.new`, JSON.stringify(secrets, null, 2), { mode: 0o600 });
  renameSync(`${file}.new`, file);
  return secrets;
}

const text = () => randomBytes(24).toString('base64url');
