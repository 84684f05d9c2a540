import { createHash } from 'node:crypto';
import { type Socket, connect } from 'node:net';
import type { GuardProbe } from '@dcompute/shared-types';
import { Client } from 'ssh2';

type ProbeFailure = NonNullable<GuardProbe['failure']>;

export interface ProbeTarget {
  readonly host: string;
  readonly port: number;
  /** `SHA256:…` of the host key that has to be there. */
  readonly fingerprint: string;
  readonly timeoutMs: number;
}

export interface ProbeOutcome {
  /** Null when banner and host key are as they should be. */
  readonly failure: ProbeFailure | null;
  readonly durationMs: number;
}

/** One round trip less than the defaults, and what the guest speaks. */
const ALGORITHMS = {
  kex: ['curve25519-sha256', 'curve25519-sha256@libssh.org'],
  serverHostKey: ['ssh-ed25519'],
} satisfies Parameters<Client['connect']>[0]['algorithms'];

/**
 * Opens a public port and goes through a whole SSH key exchange: a good outcome means that the far end holds the private
 * key, since ssh2 says `handshake` only after it verified the signature. Leaves before any login. Never throws.
 */
export async function probeSsh(target: ProbeTarget, signal: AbortSignal): Promise<ProbeOutcome> {
  const startedAt = performance.now();
  const failure = await exchangeKeys(target, signal);
  return { failure, durationMs: Math.round(performance.now() - startedAt) };
}

function exchangeKeys(target: ProbeTarget, signal: AbortSignal): Promise<ProbeFailure | null> {
  return new Promise((resolve) => {
    const socket = connect({ host: target.host, port: target.port, noDelay: true });
    const client = new Client();
    let sawKey = false;
    const finish = (failure: ProbeFailure | null): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      if (failure === null) client.end();
      socket.destroySoon();
      resolve(failure);
    };
    const abort = (): void => finish('timeout');
    const timer = setTimeout(() => finish(failureOfSilence(socket)), target.timeoutMs);
    signal.addEventListener('abort', abort, { once: true });
    client.on('handshake', () => finish(null));
    // Stays: what comes after the end of a probe is of no interest, but must not be thrown.
    client.on('error', (error) => finish(failureOf(error, socket, sawKey)));
    client.on('close', () => finish('closed'));
    client.connect({
      sock: socket,
      username: 'probe',
      readyTimeout: 0,
      algorithms: ALGORITHMS,
      hostVerifier: (key: Buffer) => {
        sawKey = true;
        return fingerprintOf(key) === target.fingerprint;
      },
    });
  });
}

function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

function failureOfSilence(socket: Socket): ProbeFailure {
  return !socket.connecting && socket.bytesRead === 0 ? 'no_banner' : 'timeout';
}

/** ssh2 marks where its errors come from: the socket, the handshake, or (unmarked) bytes that are no SSH at all. */
function failureOf(error: Error & { level?: string; code?: string }, socket: Socket, sawKey: boolean): ProbeFailure {
  if (error.level === 'client-socket')
    return error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'closed' : 'refused';
  if (error.level === 'handshake') return 'host_key_mismatch';
  if (sawKey) return 'closed';
  return error.level === 'protocol' && socket.bytesRead === 0 ? 'closed' : 'no_banner';
}
