import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { AgentConnection } from './agent-connection.js';
import { AgentConnections } from './connections.js';
import type { LiveSession } from './live-session.js';

function closedSocket(): WebSocket {
  const socket = new WebSocket('ws://127.0.0.1:9').on('error', () => {});
  socket.terminate();
  return socket;
}

function sessionOf(nodeId: string, sessionEpoch: number): LiveSession {
  const { publicKey } = generateKeyPairSync('ed25519');
  const session = {
    nodeId,
    sessionEpoch,
    hostKeyId: 'key',
    sessionId: 's',
    bootId: 'b',
    rev: 0,
    frozen: false,
    draining: false,
    publicKey: createPublicKey(publicKey.export({ format: 'pem', type: 'spki' })),
  };
  const connection = Object.assign(new AgentConnection(closedSocket(), 'key', 0), { session });
  return { connection, sync: { look: async () => {}, takePulse: async () => {} }, settle: () => {} };
}

it('the newest session of a node is its live one, whatever the order in which they come', () => {
  const connections = new AgentConnections();
  const [older, newer] = [sessionOf('n', 1), sessionOf('n', 2)];
  for (const { connection } of [older, newer]) connections.add(connection);
  connections.goLive(newer);
  connections.goLive(older);
  expect(connections.ofNode('n')).toBe(newer);
});

it('a socket that closed before its session was opened never stays behind as the live one', () => {
  const connections = new AgentConnections();
  const session = sessionOf('n', 1);
  connections.add(session.connection);
  connections.remove(session.connection);
  connections.goLive(session);
  expect(connections.live()).toEqual([]);
});
