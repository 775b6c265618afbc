/** Servers that are well, and servers that are not, each in its own way. */
import {once} from 'node:events';
import {createServer as createHttpServer, type RequestListener} from 'node:http';
import type {AddressInfo} from 'node:net';
import {createServer, type Server, type Socket} from 'node:net';

export type Ailment = 'well' | 'closed' | 'silent' | 'error500' | 'missing404' | 'garbage' | 'banner' | 'hangs-up' | 'resets' | 'chunked';

export interface BrokenServers extends AsyncDisposable {
  readonly ports: Readonly<Record<Ailment, number>>;
}

function tcp(onConnection: (socket: Socket) => void): Server {
  return createServer((socket) => {
    socket.on('error', () => {
      // A check may be given up.
    });
    onConnection(socket);
  });
}

function http(listener: RequestListener): Server {
  return createHttpServer(listener);
}

export async function brokenServers(): Promise<BrokenServers> {
  await using scope = new AsyncDisposableStack();
  const start = async (server: Server): Promise<number> => {
    const sockets = new Set<Socket>();
    server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    scope.defer(async () => {
      for (const socket of sockets) socket.destroy();
      if (server.listening) await new Promise((resolve) => void server.close(resolve));
    });
    return (server.address() as AddressInfo).port;
  };
  const closed = tcp(() => undefined);
  const ports = {
    well: await start(http((_request, response) => void response.setHeader('X-Role', 'primary, main').end('hello world'))),
    closed: await start(closed),
    silent: await start(tcp(() => undefined)),
    error500: await start(http((_request, response) => void response.writeHead(500).end('oops'))),
    missing404: await start(http((_request, response) => void response.writeHead(404).end('nothing'))),
    garbage: await start(tcp((socket) => void socket.once('data', () => socket.end('garbage\r\n\r\n')))),
    banner: await start(tcp((socket) => void socket.write('220 ready\r\n'))),
    'hangs-up': await start(tcp((socket) => void socket.end())),
    resets: await start(tcp((socket) => void socket.once('data', () => socket.resetAndDestroy()))),
    chunked: await start(
      http((_request, response) => {
        response.write('hel');
        response.end('lo world');
      }),
    ),
  };
  await new Promise((resolve) => void closed.close(resolve));
  const owned = scope.move();
  return {ports, [Symbol.asyncDispose]: () => owned.disposeAsync()};
}
