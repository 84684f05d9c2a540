import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { Failure } from './failure.mjs';

/** @param {number} port 0 for any free one @returns {Promise<number | null>} the port, or null when it is taken */
function tryPort(port, host = '127.0.0.1') {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen({ port, host, exclusive: true }, () => {
      const { port: bound } = server.address();
      server.close(() => resolve(bound));
    });
  });
}

/** A free port of this machine's loopback, for a part that nobody types. */
export async function freePort() {
  const port = await tryPort(0);
  if (port === null) throw new Failure('no free port on 127.0.0.1');
  return port;
}

/** A port that a person may set by an environment variable. @param {string} variable @param {number} fallback */
export function portSetting(variable, fallback) {
  const text = process.env[variable];
  if (!text) return fallback;
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new Failure(
    `${variable}=${text} is no port.`,
    `Choose a whole number from 1 to 65535: ${variable}=<port> npm start`,
  );
}

/** Fails with a sentence when a port that people use is taken. */
export async function requirePort(port, { what, variable }) {
  if ((await tryPort(port)) !== null) return;
  throw new Failure(
    `Port ${port} (${what}) is taken by another program, or this user may not have it.`,
    `End that program, or choose another port: ${variable}=<port> npm start`,
  );
}

/**
 * A block of `size` free ports for rentals, away from the range that the kernel gives out by itself. Its ports are bound
 * one by one later on, so the search begins anywhere: two markets that start at once seldom choose the same block.
 * @returns {Promise<{start: number, end: number}>}
 */
export async function freePortBlock(size, from = 20_000, to = 32_000) {
  const blocks = Math.floor((to - from) / size);
  const first = randomInt(blocks);
  for (let step = 0; step < blocks; step += 1) {
    const start = from + ((first + step) % blocks) * size;
    const ends = await Promise.all([tryPort(start), tryPort(start + Math.floor(size / 2)), tryPort(start + size - 1)]);
    if (ends.every((port) => port !== null)) return { start, end: start + size - 1 };
  }
  throw new Failure(`no block of ${size} free ports between ${from} and ${to}`);
}
