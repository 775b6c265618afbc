/**
 * Clients of WebSockets, and the server that echoes what they say, in this thread: each client has one message on its way and answers
 * the echo with the next one. Blocks the event loop while it measures.
 */
import {constants} from 'node:os';
import {assert} from '../../src/core/errors.ts';
import {bindSocket, close, listenSocket, socket, socketType} from '../../src/core/libc.ts';
import {boundAddress, tryConnect} from '../../src/edge/datagrams/datagram-calls.ts';
import {Epoll, ready} from '../../src/edge/polling/epoll.ts';
import {family, ipv4SocketAddress} from '../../src/edge/socket-address.ts';
import {prepareStream, tryAccept, tryReceive, trySendFirst} from '../../src/edge/streams/stream-calls.ts';
import {quantile} from '../statistics.ts';
import type {WrkResult} from './load.ts';

export interface EchoServer extends Disposable {
  /** Where it listens, on 127.0.0.1. */
  readonly port: number;
  /** @throws Error when a client is not served, or an echo is not what was said */
  measure(load: {readonly port: number; readonly connections: number; readonly seconds: number}): WrkResult;
}

const payload = Buffer.alloc(64, 'x');
const mask = Buffer.from([1, 2, 3, 4]);
const finalText = 0x81;
const said = Buffer.concat([Buffer.from([finalText, 0x80 | payload.length]), mask, payload.map((byte, at) => byte ^ (mask[at % 4] ?? 0))]);
const echo = Buffer.concat([Buffer.from([finalText, payload.length]), payload]);
/** The key is always the one of RFC 6455. */
export const upgradeQuestion =
  'GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
export const upgradeAnswer =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n';
const question = Buffer.from(upgradeQuestion);
const accepted = Buffer.from(upgradeAnswer);
const headEnd = '\r\n\r\n';
const warmUpMs = 500;
const silenceMs = 5000;
const events = 256;
const received = Buffer.allocUnsafeSlow(65_536);

/** One end of a connection. */
interface End {
  readonly isServer: boolean;
  /** The head of the upgrade is through. */
  isOpen: boolean;
  /** What has come of a head or a message that is not complete. */
  rest: Buffer;
  saidMs: number;
}

const newEnd = (isServer: boolean): End => ({isServer, isOpen: false, rest: Buffer.alloc(0), saidMs: 0});

/** The caller disposes it. */
export function openEchoServer(): EchoServer {
  const listener = socket(family.ipv4, socketType.stream | socketType.closeOnExec | socketType.nonBlocking, 0);
  bindSocket(listener, ipv4SocketAddress('127.0.0.1', 0));
  listenSocket(listener, 4096);
  return {
    port: boundAddress(listener).readUInt16BE(2),
    measure: (load) => measure(listener, load),
    [Symbol.dispose]: () => close(listener),
  };
}

function send(fd: number, bytes: Buffer): void {
  const sent = trySendFirst(fd, bytes, bytes.length);
  if (sent !== bytes.length) throw new Error(`a message of ${bytes.length} bytes was not taken: ${sent}`);
}

/** @returns how many whole messages came. What comes is always the same, so that all that is looked at is how much, and the first one. */
function messages(end: End, count: number): number {
  const bytes = end.rest.length === 0 ? received.subarray(0, count) : Buffer.concat([end.rest, received.subarray(0, count)]);
  const message = end.isServer ? said : echo;
  let from = 0;
  if (!end.isOpen) {
    const at = bytes.indexOf(headEnd);
    if (at >= 0) {
      end.isOpen = true;
      from = at + headEnd.length;
      if (!end.isServer && !bytes.subarray(0, at).includes(' 101 ')) throw new Error(`no WebSocket: ${bytes.toString('latin1', 0, at)}`);
    }
  }
  const whole = end.isOpen ? Math.floor((bytes.length - from) / message.length) : 0;
  if (whole > 0 && !end.isServer && !bytes.subarray(from, from + message.length).equals(message)) throw new Error('an echo is not what was said');
  end.rest = Buffer.from(bytes.subarray(from + whole * message.length));
  return whole;
}

function measure(listener: number, {port, connections, seconds}: {readonly port: number; readonly connections: number; readonly seconds: number}): WrkResult {
  using scope = new DisposableStack();
  const epoll = new Epoll(events);
  scope.defer(() => close(epoll.fd));
  epoll.add(listener, ready.input, 0);
  const ends = new Map<number, End>();
  scope.defer(() => {
    for (const fd of ends.keys()) close(fd);
  });
  const add = (fd: number, isServer: boolean): void => {
    ends.set(fd, newEnd(isServer));
    prepareStream(fd, {keepAlive: false, keepAliveSeconds: null});
    epoll.add(fd, ready.input, 0);
  };
  for (let client = 0; client < connections; client++) {
    // It waits until the kernel has the connection, which the other side's backlog takes at once.
    const fd = socket(family.ipv4, socketType.stream | socketType.closeOnExec, 0);
    add(fd, false);
    const error = tryConnect(fd, ipv4SocketAddress('127.0.0.1', port));
    if (error < 0) throw new Error(`cannot connect to port ${port}: errno ${-error}`);
    send(fd, question);
  }

  const startMs = performance.now() + warmUpMs;
  const endMs = startMs + seconds * 1000;
  const micros: number[] = [];
  let heardMs = performance.now();
  for (let nowMs = heardMs; nowMs < endMs; nowMs = performance.now()) {
    const found = epoll.wait(100);
    for (let index = 0; index < found; index++) {
      const fd = epoll.fdAt(index);
      if (fd === listener) {
        for (let client = tryAccept(listener); client >= 0; client = tryAccept(listener)) add(client, true);
        continue;
      }
      const end = ends.get(fd);
      assert(end !== undefined, 'Something is ready that is not watched');
      const count = tryReceive(fd, received);
      if (count === -constants.errno.EAGAIN) continue;
      if (count <= 0) {
        // A proxy may still come with a connection for a client of the measurement before.
        if (!end.isServer) throw new Error(`a connection to port ${port} ended: ${count}`);
        ends.delete(fd);
        close(fd);
        continue;
      }
      const wasOpen = end.isOpen;
      const whole = messages(end, count);
      heardMs = nowMs;
      if (end.isServer) {
        if (!wasOpen && end.isOpen) send(fd, accepted);
        for (let message = 0; message < whole; message++) send(fd, echo);
      } else if (whole > 0 || (!wasOpen && end.isOpen)) {
        const sayMs = performance.now();
        if (whole > 0 && end.saidMs >= startMs) micros.push((sayMs - end.saidMs) * 1000);
        end.saidMs = sayMs;
        send(fd, said);
      }
    }
    if (nowMs - heardMs > silenceMs) throw new Error(`no echo came from port ${port} in ${silenceMs} ms`);
  }
  return {count: micros.length, perSecond: micros.length / seconds, p50Micros: quantile(micros, 0.5), p99Micros: quantile(micros, 0.99)};
}
