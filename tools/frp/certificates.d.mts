/** See certificates.mjs. */
export function makeCertificates(options: {
  folder: string;
  serverName: string;
  now?: Date;
}): Promise<{ caFile: string; certFile: string; keyFile: string }>;
