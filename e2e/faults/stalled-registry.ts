import { once } from 'node:events';
import { type Server, type Socket, createServer } from 'node:net';

/** A registry that takes connections and requests and never answers, as across a network that stalls. */
export class StalledRegistry {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** An image there, as a renter names it. */
  readonly image: string;

  private constructor(server: Server) {
    this.#server = server;
    const address = server.address();
    this.image = `127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}/stalling:1`;
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => this.#sockets.delete(socket));
      socket.resume();
    });
  }

  static async start(): Promise<StalledRegistry> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new StalledRegistry(server);
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
