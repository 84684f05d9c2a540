/** See frps-config.mjs. */
export function renderFrpsConfig(options: {
  bindAddr: string;
  bindPort: number;
  proxyBindAddr: string;
  certFile: string;
  keyFile: string;
  authToken: string;
  portStart: number;
  portEnd: number;
  adminPort: number;
  adminUser: string;
  adminPassword: string;
  guardAddress: string;
}): string;
