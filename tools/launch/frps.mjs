import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeCertificates } from '../frp/certificates.mjs';
import { renderFrpsConfig } from '../frp/frps-config.mjs';
import { Failure } from './failure.mjs';
import { freePort, freePortBlock, portSetting, requirePort } from './ports.mjs';
import { readJsonFile, writeWhole } from './whole-file.mjs';

const SERVER_NAME = 'frps.dcompute.internal';
const DEFAULT_BIND_PORT = 7000;
const DEFAULT_RENTAL_PORTS = { start: 20_000, end: 20_999 };

/**
 * Chooses the ports of the embedded proxy server and makes its certificates. A market that people use keeps its ports
 * (the address of a rental must not change over a restart); a throw-away one takes free ones.
 */
export async function planTunnel({ dataDir, secrets, mode }) {
  const file = join(dataDir, 'frps', 'ports.json');
  const kept = readJsonFile(file);
  const ports = mode.fixedPorts
    ? fixedPorts(kept)
    : (kept ?? { bind: await freePort(), rentals: await freePortBlock(100) });
  if (mode.fixedPorts) await requirePort(ports.bind, { what: 'where nodes reach the tunnel', variable: 'FRPS_PORT' });
  writeWhole(file, JSON.stringify(ports));
  const certificates = await makeCertificates({ folder: join(dataDir, 'frps'), serverName: SERVER_NAME });
  return {
    guardPort: await freePort(),
    adminPort: await freePort(),
    certificates,
    proxyServer: {
      id: secrets.proxyServerId,
      name: 'local',
      host: '127.0.0.1',
      bindPort: ports.bind,
      serverName: SERVER_NAME,
      caPem: readFileSync(certificates.caFile, 'utf8'),
      authToken: secrets.frpsToken,
      portStart: ports.rentals.start,
      portEnd: ports.rentals.end,
    },
  };
}

/** What FRPS_PORT and RENTAL_PORTS say, else what this market had before. */
const fixedPorts = (kept) => ({
  bind: portSetting('FRPS_PORT', kept?.bind ?? DEFAULT_BIND_PORT),
  rentals: rentalPorts(kept?.rentals ?? DEFAULT_RENTAL_PORTS),
});

/** The public ports that rentals may have: RENTAL_PORTS=<first>-<last>. */
function rentalPorts(fallback) {
  const text = process.env.RENTAL_PORTS;
  if (!text) return fallback;
  const [, start = 0, end = 0] = /^(\d{1,5})-(\d{1,5})$/.exec(text)?.map(Number) ?? [];
  if (start >= 1024 && end >= start && end <= 65_535) return { start, end };
  throw new Failure(
    `RENTAL_PORTS=${text} is no range of ports.`,
    'Write it as <first>-<last>, such as RENTAL_PORTS=20000-20999',
  );
}

/** frps with the guard as its plugin. */
export function frpsPart({ dataDir, built, secrets, tunnel }) {
  const config = join(dataDir, 'frps', 'frps.toml');
  writeFileSync(
    config,
    renderFrpsConfig({
      bindAddr: '127.0.0.1',
      bindPort: tunnel.proxyServer.bindPort,
      proxyBindAddr: '127.0.0.1',
      certFile: tunnel.certificates.certFile,
      keyFile: tunnel.certificates.keyFile,
      authToken: secrets.frpsToken,
      portStart: tunnel.proxyServer.portStart,
      portEnd: tunnel.proxyServer.portEnd,
      adminPort: tunnel.adminPort,
      adminUser: 'ops',
      adminPassword: secrets.frpsAdminPassword,
      guardAddress: `127.0.0.1:${tunnel.guardPort}`,
    }),
    { mode: 0o600 },
  );
  return {
    name: 'frps',
    command: built.frps,
    args: ['-c', config],
    env: { PATH: process.env.PATH ?? '' },
    ready: async () =>
      (await fetch(`http://127.0.0.1:${tunnel.adminPort}/healthz`, { signal: AbortSignal.timeout(2000) })).ok,
  };
}
