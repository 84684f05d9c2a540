import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type Socket, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Rental } from '@dcompute/shared-types';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../tools/launch/ports.mjs';
import { waitFor } from '../../tools/launch/wait.mjs';
import { type ApiClient, newRenter } from '../harness/accounts.js';
import { type TestHost, startHost } from '../harness/host.js';
import { privateKey, reaches, remove, rent, ssh, sshTo } from '../harness/rentals.js';

const run = promisify(execFile);
// Short: the path of a unix socket holds about a hundred characters.
const folder = mkdtempSync(join(tmpdir(), 'dc-ssh-'));
const started: ChildProcess[] = [];
let host: TestHost;
let renter: ApiClient;
let rental: Rental;

beforeAll(async () => {
  host = await startHost();
  renter = await newRenter();
  const { id } = await rent(renter, host.offerId);
  rental = await reaches(renter, id, 'RUNNING');
  await ssh(rental, 'mkdir -p /srv/www; echo hello > /srv/www/index.html');
  await ssh(rental, 'cd /srv/www; setsid python3 -m http.server --bind 127.0.0.1 8080 >/dev/null 2>&1 < /dev/null &');
  await waitFor('the web server', () => ssh(rental, 'curl -sf http://127.0.0.1:8080/'), { timeoutMs: 20_000 });
});
afterEach(async () => {
  for (const child of started.splice(0)) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
});
afterAll(async () => {
  if (rental) await remove(renter, rental.id);
  await host?.tearDown();
  rmSync(folder, { recursive: true, force: true });
});

/** Starts the real client in the background; it ends with the test. */
function background(...args: string[]): ChildProcess {
  const child = spawn('ssh', ['-o', 'BatchMode=yes', '-o', 'ExitOnForwardFailure=yes', ...args], { stdio: 'ignore' });
  started.push(child);
  return child;
}

/** Connects as soon as somebody listens. */
async function dial(target: { port: number; host: string } | { path: string }): Promise<Socket> {
  const attempt = async (): Promise<Socket> => {
    const socket = connect(target);
    await once(socket, 'connect');
    return socket;
  };
  return await waitFor('the forwarding', attempt, { timeoutMs: 20_000 });
}

/** Asks, and returns all that comes until the greeting is in it. */
async function answerOf(socket: Socket, question: string): Promise<string> {
  let answer = '';
  socket.on('data', (chunk) => (answer += String(chunk)));
  socket.write(question);
  await waitFor('an answer', () => answer.includes('hello'), { timeoutMs: 10_000 });
  socket.destroy();
  return answer;
}

describe('the OpenSSH client of a renter', () => {
  it('-D: a SOCKS proxy into the container', async () => {
    const port = await freePort();
    background('-N', '-D', `127.0.0.1:${port}`, ...sshTo(rental));
    const socket = await dial({ host: '127.0.0.1', port });
    socket.write(Buffer.from([5, 1, 0]));
    expect([...((await once(socket, 'data'))[0] as Buffer)]).toEqual([5, 0]);
    socket.write(Buffer.from([5, 1, 0, 1, 127, 0, 0, 1, 8080 >> 8, 8080 & 255]));
    expect(((await once(socket, 'data'))[0] as Buffer)[1]).toBe(0);
    expect(await answerOf(socket, 'GET / HTTP/1.0\r\n\r\n')).toContain('hello');
  });

  it('-A: the forwarded agent shows its keys inside, and only there while the session lasts', async () => {
    const socket = join(folder, 'agent');
    const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
    started.push(agent);
    const env = { ...process.env, SSH_AUTH_SOCK: socket };
    await waitFor('the agent', () => run('ssh-add', ['-q', privateKey], { env }), { timeoutMs: 10_000 });
    const { stdout: here } = await run('ssh-add', ['-L'], { env });
    const { stdout: inside } = await run('ssh', ['-o', 'BatchMode=yes', '-A', ...sshTo(rental), 'ssh-add -L'], { env });
    expect(inside).toBe(here);
    await expect(ssh(rental, 'ssh-add -L')).rejects.toThrow();
  });

  it('-J: a jump through the container to an address that only it reaches', async () => {
    const [target = '', ...options] = sshTo(rental).toReversed();
    const known = options.find((option) => option.startsWith('UserKnownHostsFile='))?.split('=')[1] ?? '';
    const config = join(folder, 'config');
    const port = rental.connectionInfo?.sshPort;
    writeFileSync(
      config,
      `Host *\n  User root\n  IdentityFile ${privateKey}\n  IdentitiesOnly yes\n  BatchMode yes\n  UserKnownHostsFile ${known}\n` +
        `  StrictHostKeyChecking yes\n  HostKeyAlias [${target.split('@')[1]}]:${port}\nHost jump\n  HostName 127.0.0.1\n  Port ${port}\n` +
        `Host inner\n  HostName 127.0.0.1\n  Port 22\n`,
    );
    const { stdout } = await run('ssh', ['-F', config, '-J', 'jump', 'inner', 'echo through the jump']);
    expect(stdout).toBe('through the jump\n');
  });

  it('ControlMaster: many commands over one connection', async () => {
    const control = join(folder, 'control');
    background('-M', '-N', '-S', control, ...sshTo(rental));
    const over = ['-S', control, '-o', 'ControlMaster=no', ...sshTo(rental)];
    await waitFor('the master', () => run('ssh', ['-O', 'check', ...over]), { timeoutMs: 20_000 });
    const answers = await Promise.all(
      [1, 2, 3, 4, 5].map(async (n) => (await run('ssh', [...over, `echo ${n} $SSH_CONNECTION`])).stdout.split(' ')),
    );
    expect(answers.map(([n]) => n)).toEqual(['1', '2', '3', '4', '5']);
    // One connection: the same client port each time.
    expect(new Set(answers.map(([, , port]) => port)).size).toBe(1);
  });

  it('-L and -R between unix sockets (streamlocal forwarding)', async () => {
    const local = join(folder, 'local');
    await ssh(
      rental,
      `cat > /root/echo.py <<'EOF'
import socket
server = socket.socket(socket.AF_UNIX)
server.bind("/tmp/echo")
server.listen()
while True:
    peer, _ = server.accept()
    peer.sendall(b"hello from inside")
    peer.close()
EOF
setsid python3 /root/echo.py >/dev/null 2>&1 < /dev/null &`,
    );
    background('-N', '-L', `${local}:/tmp/echo`, ...sshTo(rental));
    expect(await answerOf(await dial({ path: local }), '')).toContain('hello from');

    const outside = join(folder, 'outside');
    const server = createServer((socket) => socket.end('hello from outside'));
    server.listen(outside);
    try {
      background('-N', '-R', `/tmp/outside:${outside}`, ...sshTo(rental));
      const read = `python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.connect("/tmp/outside"); print(s.recv(99).decode())'`;
      const answer = await waitFor('the way out', async () => await ssh(rental, read), { timeoutMs: 20_000 });
      expect(answer).toBe('hello from outside\n');
    } finally {
      server.close();
    }
  });

  it('tmux: work goes on after a disconnect, and a new log-in finds it', async () => {
    const client = background(
      '-tt',
      ...sshTo(rental),
      "tmux new -s work 'while :; do date +%s%N > /root/tick; sleep 0.1; done'",
    );
    await waitFor('the work', async () => (await ssh(rental, 'cat /root/tick')).length > 0, { timeoutMs: 20_000 });
    client.kill('SIGKILL');
    await once(client, 'exit');
    const before = await ssh(rental, 'cat /root/tick');
    await waitFor('more work', async () => (await ssh(rental, 'cat /root/tick')) !== before, { timeoutMs: 10_000 });
    expect(await ssh(rental, 'tmux ls')).toContain('work:');
  });
});
