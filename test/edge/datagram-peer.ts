/** The other end of datagrams: a client, or a server that answers. */
import {createSocket, type Socket} from 'node:dgram';
import {once} from 'node:events';

export interface Peer extends AsyncDisposable {
  readonly socket: Socket;
  readonly port: number;
  readonly received: string[];
  /** Ports that datagrams came from. */
  readonly ports: Set<number>;
}

export async function peer({answers = false, host = '127.0.0.1'} = {}): Promise<Peer> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.bind(0, host);
  await once(socket, 'listening');
  const received: string[] = [];
  const ports = new Set<number>();
  socket.on('message', (datagram, from) => {
    received.push(datagram.toString());
    ports.add(from.port);
    if (answers) socket.send(`re: ${datagram.toString()}`, from.port, from.address);
  });
  return {
    socket,
    port: socket.address().port,
    received,
    ports,
    async [Symbol.asyncDispose]() {
      socket.close();
      await once(socket, 'close');
    },
  };
}
