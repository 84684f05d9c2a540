import { spawnSync } from 'node:child_process';
import { buildDefaultImage } from '../image/build.mjs';

export const DEFAULT_IMAGE = 'dcompute/default:1';

/** Makes sure that the image which rentals use by default is in the engine: it is built here, so no registry is needed. */
export async function ensureDefaultImage(dockerHost) {
  const { status } = spawnSync('docker', ['-H', dockerHost, 'image', 'inspect', DEFAULT_IMAGE]);
  if (status !== 0) await buildDefaultImage({ docker: dockerHost, tag: DEFAULT_IMAGE });
}
