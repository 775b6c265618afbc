/** Resolvers that answer, or lie, as they are told. */
import {createSocket, type RemoteInfo, type Socket} from 'node:dgram';
import {once} from 'node:events';
import {createServer, type Server} from 'node:net';
import {errorCode} from '../../../src/core/errors.ts';
import {frame, readFrames} from '../../../src/edge/dns/frames.ts';

export interface Upstream extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly asked: Buffer[];
  readonly from: Set<number>;
}

/** A resolver that answers as it is told; `tcp` for what it says over TCP. */
export async function openUpstream(
  udp: (message: Buffer, send: (answer: Buffer) => void) => void,
  tcp: ((message: Buffer) => Buffer) | null = null,
): Promise<Upstream> {
  const asked: Buffer[] = [];
  const from = new Set<number>();
  const server = createServer((client) => {
    const frames = readFrames((message) => {
      client.write(frame(tcp?.(message) ?? message));
      return true;
    });
    client.on('data', frames);
    client.on('error', () => {
      // The one that asks goes away when it has what it wants.
    });
  });
  const socket = await bindBoth(tcp === null ? null : server);
  const {port} = socket.address();
  socket.on('message', (message, info: RemoteInfo) => {
    asked.push(message);
    from.add(info.port);
    udp(message, (answer) => socket.send(answer, info.port, info.address));
  });
  return {
    host: '127.0.0.1',
    port,
    asked,
    from,
    async [Symbol.asyncDispose]() {
      socket.close();
      if (tcp !== null) await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** One port for both: a free one of UDP, until TCP has it too. */
async function bindBoth(server: Server | null): Promise<Socket> {
  for (;;) {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    if (server === null) return socket;
    try {
      server.listen({port: socket.address().port, host: '127.0.0.1'});
      await once(server, 'listening');
      return socket;
    } catch (error) {
      socket.close();
      if (errorCode(error) !== 'EADDRINUSE') throw error;
    }
  }
}

/** An answer to the question in `message`, whose address is asked for. */
export function answerTo(message: Buffer, {address = '192.0.2.80', bits = 0x8180, count = 1} = {}): Buffer {
  const end = message.indexOf(0, 12) + 5;
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]);
  const head = Buffer.from(message.subarray(0, end));
  head.writeUInt16BE(bits, 2);
  head.writeUInt16BE(count, 6);
  head.writeUInt16BE(0, 10);
  return Buffer.concat([head, ...Array.from({length: count}, () => record)]);
}
