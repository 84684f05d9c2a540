import type { Duplex } from 'node:stream';
import { type AgentErrorCode, CLOSE_CODES } from '@dcompute/shared-types';
import type { AgentRefusal } from '../modules/nodes/index.js';

/** With which close code a socket ends for each error; null: the error is said and the socket stays. */
export const CLOSE_CODE_OF: Readonly<Record<AgentErrorCode, number | null>> = {
  'agent.malformed_message': CLOSE_CODES.policyViolation,
  'agent.hello_required': CLOSE_CODES.policyViolation,
  'agent.protocol_version_unsupported': CLOSE_CODES.refused,
  'agent.signature_invalid': CLOSE_CODES.refused,
  'agent.identity_mismatch': CLOSE_CODES.refused,
  'agent.host_key_invalid': CLOSE_CODES.refused,
  'agent.host_key_revoked': CLOSE_CODES.refused,
  'agent.role_forbidden': CLOSE_CODES.refused,
  'agent.clone_suspected': CLOSE_CODES.cloneSuspected,
  'agent.fenced': CLOSE_CODES.fenced,
  'agent.spec_unknown': null,
  'agent.mass_stop_held': null,
  'agent.rate_limited': CLOSE_CODES.tryAgainLater,
  'agent.internal': CLOSE_CODES.tryAgainLater,
};

const HTTP_STATUS: Readonly<Partial<Record<AgentErrorCode, readonly [number, string]>>> = {
  'agent.host_key_invalid': [401, 'Unauthorized'],
  'agent.host_key_revoked': [403, 'Forbidden'],
  'agent.role_forbidden': [403, 'Forbidden'],
  'agent.rate_limited': [429, 'Too Many Requests'],
};

const RETRY_AFTER_SECONDS = 5;

/** Answers an upgrade with problem details (RFC 9457) instead of a socket. */
export function refuseUpgrade(socket: Duplex, { code, message: detail }: AgentRefusal): void {
  const [status, title] = HTTP_STATUS[code] ?? [503, 'Service Unavailable'];
  const body = JSON.stringify({ type: `urn:dcompute:problem:${code}`, title, status, code, detail });
  socket.end(
    [
      `HTTP/1.1 ${status} ${title}`,
      'Content-Type: application/problem+json; charset=utf-8',
      `Content-Length: ${Buffer.byteLength(body)}`,
      ...(status === 401 ? ['WWW-Authenticate: Bearer'] : []),
      ...(status === 429 || status === 503 ? [`Retry-After: ${RETRY_AFTER_SECONDS}`] : []),
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  );
}

/** Answers an upgrade to an address that has none. */
export function refuseUnknownAddress(socket: Duplex): void {
  socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
}
