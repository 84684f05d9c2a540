import { type Server as NetServer, type Socket, createServer } from 'node:net';
import ssh2 from 'ssh2';
import { afterEach, expect, test } from 'vitest';
import { generateSshHostKey } from '../src/modules/rentals/create/ssh-host-key.js';
import { probeSsh } from '../src/guard/probes/probe-ssh.js';

const key = generateSshHostKey();
const ends: (() => void)[] = [];

afterEach(() => {
  for (const end of ends.splice(0)) end();
});

test('a server that holds the key passes, within milliseconds and without a login', async () => {
  let logins = 0;
  const server = new ssh2.Server({ hostKeys: [key.privateKeyPem] }, (client) => {
    client.on('error', () => {});
    client.on('authentication', () => (logins += 1));
  });
  const port = await listen(server);
  const first = await probe(port, key.fingerprint);
  const second = await probe(port, key.fingerprint);
  expect([first.failure, second.failure]).toEqual([null, null]);
  expect(second.durationMs).toBeLessThan(500);
  expect(logins).toBe(0);
});

test('a server with another key does not', async () => {
  const server = new ssh2.Server({ hostKeys: [generateSshHostKey().privateKeyPem] }, (client) =>
    client.on('error', () => {}),
  );
  expect((await probe(await listen(server), key.fingerprint)).failure).toBe('host_key_mismatch');
});

test('a port that nobody listens on is refused', async () => {
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  expect((await probe(port, key.fingerprint)).failure).toBe('refused');
});

test.each<[string, (socket: Socket) => void, string]>([
  ['a connection that is closed at once', (socket) => socket.destroy(), 'closed'],
  ['a server that says nothing', () => {}, 'no_banner'],
  ['a server that speaks something else', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'), 'no_banner'],
  ['a banner and then nothing', (socket) => socket.write('SSH-2.0-x\r\n'), 'timeout'],
  ['a banner and then the end', (socket) => socket.end('SSH-2.0-x\r\n'), 'closed'],
])('%s', async (_name, behave, failure) => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => {}));
    behave(socket);
  });
  ends.push(() => sockets.forEach((socket) => socket.destroy()));
  expect((await probe(await listen(server), key.fingerprint, 300)).failure).toBe(failure);
});

function probe(port: number, fingerprint: string, timeoutMs = 5_000) {
  return probeSsh({ host: '127.0.0.1', port, fingerprint, timeoutMs }, new AbortController().signal);
}

function listen(server: NetServer | ssh2.Server): Promise<number> {
  ends.push(() => server.close());
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(address !== null && typeof address === 'object' ? address.port : 0);
    });
  });
}
