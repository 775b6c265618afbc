/** For what Node does on sockets of its own only, which are TLS and HTTP/2, and for what differs between them and ours. */
import {Socket} from 'node:net';
import {assert} from '../../core/errors.ts';
import type {ByteStream, StreamReceiver} from './byte-stream.ts';
import {StreamSocket} from './stream-socket.ts';

/** The same connection as a socket of Node's. */
export function nodeSocket(stream: ByteStream): Socket {
  if (stream instanceof Socket) return stream;
  assert(stream instanceof StreamSocket, 'A connection is of neither kind');
  return stream.toNodeSocket();
}

/** From now on the receiver gets what the connection has: of one of our sockets without a copy. */
export function receiveFrom(stream: ByteStream, receiver: StreamReceiver): void {
  if (stream instanceof StreamSocket) {
    stream.receive(receiver);
    return;
  }
  stream.on('data', (chunk) => receiver.bytes(stream, chunk));
  stream.on('end', () => receiver.ended(stream));
  stream.on('drain', () => receiver.drained(stream));
}

/** The receiver gets nothing more; the connection is paused. */
export function stopReceiving(stream: ByteStream): void {
  stream.pause();
  if (stream instanceof StreamSocket) stream.receive(null);
  else if (stream instanceof Socket) for (const event of ['data', 'end', 'drain']) stream.removeAllListeners(event);
}

/** Writes what is only borrowed: one of Node's sockets would keep it. False: wait for 'drain'. */
export function writeBorrowed(stream: ByteStream, borrowed: Buffer): boolean {
  return stream.write(stream instanceof StreamSocket ? borrowed : Buffer.from(borrowed));
}
