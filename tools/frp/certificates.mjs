import { X509Certificate, createPrivateKey, randomBytes, webcrypto } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeWhole } from '../launch/whole-file.mjs';

const DAY_MS = 86_400_000;
const AUTHORITY = { days: 3650, renewBeforeDays: 400 };
const SERVER = { days: 365, renewBeforeDays: 30 };
/** Clocks of nodes may be behind ours. */
const BACKDATE_MS = DAY_MS;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/**
 * The certificates of one proxy server: an authority that nodes trust and a server certificate for `serverName`. Made
 * once, kept in `folder`, and made again when they come close to their end, do not fit each other or cannot be read.
 * Keys are readable by their owner only.
 * @param {{folder: string, serverName: string, now?: Date}} options
 * @returns {Promise<{caFile: string, certFile: string, keyFile: string}>} PEM files
 */
export async function makeCertificates({ folder, serverName, now = new Date() }) {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const files = {
    caFile: join(folder, 'ca.crt'),
    caKeyFile: join(folder, 'ca.key'),
    certFile: join(folder, 'tls.crt'),
    keyFile: join(folder, 'tls.key'),
  };
  const authorityKept = isUsable(files.caFile, files.caKeyFile, AUTHORITY, now);
  const serverKept = authorityKept && isUsable(files.certFile, files.keyFile, SERVER, now) && isOurs(files, serverName);
  if (!authorityKept) await makeAuthority(files, now);
  if (!serverKept) await makeServerCertificate(files, serverName, now);
  return { caFile: files.caFile, certFile: files.certFile, keyFile: files.keyFile };
}

/** Whether a certificate and its key are there, belong together, are valid and far from their end. */
function isUsable(certFile, keyFile, { renewBeforeDays }, now) {
  if (!existsSync(certFile) || !existsSync(keyFile)) return false;
  try {
    const certificate = new X509Certificate(readFileSync(certFile));
    const starts = new Date(certificate.validFrom).getTime() <= now.getTime();
    const lasts = new Date(certificate.validTo).getTime() - now.getTime() > renewBeforeDays * DAY_MS;
    return starts && lasts && certificate.checkPrivateKey(createPrivateKey(readFileSync(keyFile)));
  } catch {
    return false;
  }
}

function isOurs({ caFile, certFile }, serverName) {
  const authority = new X509Certificate(readFileSync(caFile));
  const server = new X509Certificate(readFileSync(certFile));
  return server.checkHost(serverName) !== undefined && server.verify(authority.publicKey);
}

async function makeAuthority(files, now) {
  const x509 = await loadX509();
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    ...terms(AUTHORITY, now),
    name: 'CN=DistributedCompute tunnel authority',
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  await keep(files.caKeyFile, files.caFile, keys, certificate);
}

async function makeServerCertificate(files, serverName, now) {
  const x509 = await loadX509();
  const authority = new x509.X509Certificate(readFileSync(files.caFile, 'utf8'));
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    ...terms(SERVER, now),
    subject: `CN=${serverName}`,
    issuer: authority.subject,
    publicKey: keys.publicKey,
    signingKey: await readSigningKey(files.caKeyFile),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: serverName }]),
      await x509.AuthorityKeyIdentifierExtension.create(authority),
    ],
  });
  await keep(files.keyFile, files.certFile, keys, certificate);
}

/** Loaded late: the launcher reads this file before the packages are installed. The library needs the polyfill first. */
async function loadX509() {
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  x509.cryptoProvider.set(webcrypto);
  return x509;
}

function terms({ days }, now) {
  return {
    serialNumber: randomBytes(16)
      .toString('hex')
      .replace(/^[89a-f]/, '7'),
    notBefore: new Date(now.getTime() - BACKDATE_MS),
    notAfter: new Date(now.getTime() + days * DAY_MS),
    signingAlgorithm: ALGORITHM,
  };
}

async function readSigningKey(file) {
  const der = createPrivateKey(readFileSync(file)).export({ type: 'pkcs8', format: 'der' });
  return await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
}

/** The key goes first: a pair that was cut in half does not fit and is made again. */
async function keep(keyFile, certFile, keys, certificate) {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const key = createPrivateKey({ key: der, type: 'pkcs8', format: 'der' });
  writeWhole(keyFile, key.export({ type: 'pkcs8', format: 'pem' }), 0o600);
  writeWhole(certFile, `${certificate.toString('pem')}\n`, 0o644);
}
