/** For what Node does on sockets of its own only, which are TLS and HTTP/2, and for what differs between them and ours. */
import {Socket} from 'node:net';
import {assert} from '../../core/errors.ts';
import type {ByteStream} from './byte-stream.ts';
import {StreamSocket} from './stream-socket.ts';

/** The same connection as a socket of Node's. */
export function nodeSocket(stream: ByteStream): Socket {
  if (stream instanceof Socket) return stream;
  assert(stream instanceof StreamSocket, 'A connection is of neither kind');
  return stream.toNodeSocket();
}

/** Takes what is read: of one of our sockets without a copy, so that it may be kept only until `take` returns. */
export function takeBytes(stream: ByteStream, take: (borrowed: Buffer) => void): void {
  if (stream instanceof StreamSocket) stream.receive(take);
  else stream.on('data', take);
}

/** Writes what is only borrowed: one of Node's sockets would keep it. False: wait for 'drain'. */
export function writeBorrowed(stream: ByteStream, borrowed: Buffer): boolean {
  return stream.write(stream instanceof StreamSocket ? borrowed : Buffer.from(borrowed));
}
