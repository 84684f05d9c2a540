import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';
import ssh2 from 'ssh2';

/** A server of a test on a port of 127.0.0.1. */
export interface LocalServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Sends back every byte. */
export async function startEcho(): Promise<LocalServer> {
  return await serve(createServer((socket) => socket.on('error', () => {}).pipe(socket)));
}

/** An SSH server with a host key, as the guest of an instance is one. Nobody can log in. */
export async function startSshServer(privateKeyPem: string): Promise<LocalServer> {
  const server = new ssh2.Server({ hostKeys: [privateKeyPem], ident: 'DCompute' }, (client) =>
    client.on('error', () => {}),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** A line between two programs that a test can cut and mend, as networks do. */
export class CuttableLine implements LocalServer {
  #isCut = false;
  readonly #sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly targetPort: number,
  ) {
    server.on('connection', (socket) => this.#join(socket));
  }

  static async to(targetPort: number): Promise<CuttableLine> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new CuttableLine(server, targetPort);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  #join(socket: Socket): void {
    if (this.#isCut) return void socket.destroy();
    const target = connect(this.targetPort, '127.0.0.1');
    for (const [one, other] of [
      [socket, target],
      [target, socket],
    ] as const) {
      this.#sockets.add(one);
      one
        .on('error', () => {})
        .on('close', () => {
          this.#sockets.delete(one);
          other.destroy();
        });
      one.pipe(other);
    }
  }
}

/** A client's connection that checks that what it sends comes back. */
export class EchoClient {
  private constructor(private readonly socket: Socket) {}

  /** Resolves once a first byte came back; throws when the connection is closed before. */
  static async open(port: number): Promise<EchoClient> {
    const client = new EchoClient(connect({ port, host: '127.0.0.1', noDelay: true }).on('error', () => {}));
    try {
      await client.echo(Buffer.from('?'));
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /** Sends bytes and resolves when the same bytes are back; throws when the connection ends first. */
  async echo(bytes: Buffer): Promise<void> {
    const received: Buffer[] = [];
    let length = 0;
    await new Promise<void>((resolve, reject) => {
      const ended = (): void => reject(new Error('the connection was closed'));
      const read = (chunk: Buffer): void => {
        received.push(chunk);
        length += chunk.length;
        if (length < bytes.length) return;
        this.socket.off('data', read).off('close', ended);
        resolve();
      };
      if (this.socket.destroyed) return ended();
      this.socket.on('data', read).on('close', ended);
      this.socket.write(bytes);
    });
    if (!Buffer.concat(received).equals(bytes)) throw new Error('other bytes came back');
  }

  close(): void {
    this.socket.destroy();
  }
}

async function serve(server: Server): Promise<LocalServer> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
