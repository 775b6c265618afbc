/** Protocol switches on one stream of an HTTP/2 connection (RFC 8441), as HTTP/1.1 has them for a whole connection. */
import {createHash, randomBytes} from 'node:crypto';
import type {Duplex} from 'node:stream';
import type {ByteStream} from '../streams/byte-stream.ts';
import type {Header} from './message.ts';

/** RFC 6455, section 1.3. */
const acceptSuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

export interface ProtocolSwitch {
  /** What HTTP/1.1 says of it. */
  readonly headers: readonly Header[];
  /** The `Sec-WebSocket-Accept` of a server that has understood; null where there is none. */
  readonly accept: string | null;
}

/** On HTTP/2 a WebSocket has no key; servers of HTTP/1.1 want one. */
export function protocolSwitch(protocol: string): ProtocolSwitch {
  const headers: Header[] = [
    ['connection', 'upgrade'],
    ['upgrade', protocol],
  ];
  if (protocol.toLowerCase() !== 'websocket') return {headers, accept: null};
  const key = randomBytes(16).toString('base64');
  const accept = createHash('sha1').update(`${key}${acceptSuffix}`).digest('base64');
  return {headers: [...headers, ['sec-websocket-key', key]], accept};
}

/** The stream with what else a connection can do. */
export function tunnelStream(stream: Duplex): ByteStream {
  const rest = {
    bytesRead: 0,
    bytesWritten: 0,
    destroySoon(): void {
      if (stream.writableFinished) stream.destroy();
      else stream.once('finish', () => stream.destroy());
      stream.end();
    },
    resetAndDestroy: () => stream.destroy(),
  };
  // Its overloads of `on` are those of ByteStream and others in between, which TypeScript does not find.
  return Object.assign(stream, rest) as unknown as ByteStream;
}
