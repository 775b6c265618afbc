/**
 * Clients and the server behind the proxy, in this thread: each client keeps some datagrams on their way, and answers each that comes
 * back with the next one. Both move many with one system call, so that what is measured is the proxy. Blocks the event loop.
 */

import {bindSocket, close, setSocketOption, socket, socketType} from '../../src/core/libc.ts';
import {boundAddress, tryConnect, tryReceiveMany, trySendMany, trySendStart} from '../../src/edge/datagrams/datagram-calls.ts';
import {type DatagramSlots, MessageHeaders, openSlots, slotBytes, slotCount} from '../../src/edge/datagrams/datagram-slots.ts';
import {Epoll, ready} from '../../src/edge/polling/epoll.ts';
import {family, ipv4SocketAddress} from '../../src/edge/socket-address.ts';

export interface UdpLoad {
  /** Of the proxy, on 127.0.0.1. */
  readonly port: number;
  /** The address of the clients. */
  readonly source: string;
  readonly sessions: number;
  /** Datagrams of a session that are on their way at a time. */
  readonly window: number;
  readonly durationMs: number;
}

export interface UdpLoadResult {
  readonly roundTripsPerSecond: number;
  /** Datagrams sent again because a session was silent: some were lost. */
  readonly resent: number;
}

export interface UdpPeers extends Disposable {
  /** Where the server listens, on 127.0.0.1. */
  readonly port: number;
  measure(load: UdpLoad): UdpLoadResult;
}

const payload = Buffer.alloc(100, 'x');
const warmUpMs = 1000;
const silenceMs = 300;
const forceReceiveBuffer = 33;
const bufferBytes = 4 * 1024 * 1024;

function openSocket(host: string): number {
  const fd = socket(family.ipv4, socketType.datagram | socketType.closeOnExec | socketType.nonBlocking, 0);
  setSocketOption(fd, 1, forceReceiveBuffer, bufferBytes);
  bindSocket(fd, ipv4SocketAddress(host, 0));
  return fd;
}

/** Sends back all that is there. @returns how many */
function bounce(fd: number, headers: MessageHeaders): number {
  const [start] = headers.from;
  const count = start === undefined ? 0 : tryReceiveMany(fd, start, slotCount);
  for (let slot = 0; slot < count; slot++) headers.setSendLength(slot, headers.receivedLength(slot));
  for (let sent = 0; sent < count; ) {
    const rest = headers.from[sent];
    if (rest === undefined) break;
    sent += Math.max(trySendMany(fd, rest, count - sent), 1);
  }
  for (let slot = 0; slot < count; slot++) headers.setSendLength(slot, slotBytes);
  return Math.max(count, 0);
}

/** The caller disposes it. */
export function openUdpPeers(): UdpPeers {
  const slots = openSlots();
  const server = openSocket('127.0.0.1');
  const headers = new MessageHeaders(slots, {nameBytes: 16, controlBytes: 0});
  return {
    port: boundAddress(server).readUInt16BE(2),
    measure: (load) => measure(load, slots, server, headers),
    [Symbol.dispose]: () => close(server),
  };
}

function measure(load: UdpLoad, slots: DatagramSlots, server: number, serverHeaders: MessageHeaders): UdpLoadResult {
  using scope = new DisposableStack();
  const epoll = new Epoll(256);
  scope.defer(() => close(epoll.fd));
  epoll.add(server, ready.input, 0);
  const heardMs: number[] = [];
  const fill = (fd: number, nowMs: number): void => {
    for (let sent = 0; sent < load.window; sent++) trySendStart(fd, payload, payload.length);
    heardMs[fd] = nowMs;
  };
  const clients = Array.from({length: load.sessions}, () => {
    const fd = openSocket(load.source);
    scope.defer(() => close(fd));
    tryConnect(fd, ipv4SocketAddress('127.0.0.1', load.port));
    epoll.add(fd, ready.input, 0);
    return fd;
  });
  for (const fd of clients) fill(fd, performance.now());

  const headers = new MessageHeaders(slots, {nameBytes: 0, controlBytes: 0});
  const startMs = performance.now() + warmUpMs;
  const endMs = startMs + load.durationMs;
  let roundTrips = 0;
  let resent = 0;
  let checkMs = performance.now() + silenceMs;
  for (let nowMs = performance.now(); nowMs < endMs; nowMs = performance.now()) {
    const count = epoll.wait(100);
    for (let index = 0; index < count; index++) {
      const fd = epoll.fdAt(index);
      const bounced = bounce(fd, fd === server ? serverHeaders : headers);
      if (fd === server) continue;
      heardMs[fd] = nowMs;
      if (nowMs >= startMs) roundTrips += bounced;
    }
    if (nowMs < checkMs) continue;
    checkMs = nowMs + silenceMs;
    for (const fd of clients.filter((client) => nowMs - (heardMs[client] ?? 0) > silenceMs)) {
      fill(fd, nowMs);
      if (nowMs >= startMs) resent += load.window;
    }
  }
  return {roundTripsPerSecond: (roundTrips * 1000) / load.durationMs, resent};
}
