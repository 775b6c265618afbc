import {createSocket, type Socket} from 'node:dgram';
import {lookup} from 'node:dns/promises';
import {once} from 'node:events';
import type {Bind} from '../config/proxy-value.ts';
import {bindError, bindHost} from './addresses.ts';

const receiveBufferBytes = 1024 * 1024;

/**
 * A bound datagram socket, which the caller closes.
 * @throws CodedError ERR_BIND
 */
export async function bindUdpSocket(frontend: string, bind: Bind, ipv6Only: boolean): Promise<Socket> {
  let socket: Socket | null = null;
  try {
    const {address, family} = await lookup(bindHost(bind));
    socket = createSocket({
      type: family === 6 ? 'udp6' : 'udp4',
      ipv6Only,
      recvBufferSize: receiveBufferBytes,
      // Only addresses come here; without this each answer would wait for a turn of the event loop.
      lookup: (known, _options, callback) => callback(null, known, family),
    });
    const listening = once(socket, 'listening');
    socket.bind({address, port: bind.port, exclusive: true});
    await listening;
    return socket;
  } catch (error) {
    socket?.close();
    throw bindError(frontend, bind, error);
  }
}
