/** Servers behind the frontend under test. */
import {once} from 'node:events';
import {createServer, type RequestListener} from 'node:http';
import {type AddressInfo, createServer as createTcpServer, type Socket} from 'node:net';

export interface Origin extends AsyncDisposable {
  readonly port: number;
  /** Connections that were accepted. */
  readonly connections: () => number;
  readonly open: () => number;
}

async function listening(server: ReturnType<typeof createTcpServer>): Promise<Origin> {
  const sockets = new Set<Socket>();
  let connections = 0;
  server.on('connection', (socket) => {
    connections++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    open: () => sockets.size,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

export async function httpOrigin(listener: RequestListener): Promise<Origin> {
  return listening(createServer({keepAliveTimeout: 60_000}, listener));
}

/** Gives each connection to `onConnection`; errors of sockets are part of tests. */
export async function rawOrigin(onConnection: (socket: Socket) => void): Promise<Origin> {
  return listening(
    createTcpServer({allowHalfOpen: true}, (socket) => {
      socket.on('error', () => {
        // 'close' follows.
      });
      socket.on('end', () => socket.end());
      onConnection(socket);
    }),
  );
}

/** Answers each head with `answer`, however it is made up. */
export async function scriptedOrigin(answer: string | ((head: string) => string), seen: string[] = []): Promise<Origin> {
  return rawOrigin((socket) => {
    let text = '';
    socket.on('data', (data: Buffer) => {
      text += data.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end + 4);
        text = text.slice(end + 4);
        seen.push(head);
        socket.write(Buffer.from(typeof answer === 'string' ? answer : answer(head), 'latin1'));
      }
    });
  });
}
