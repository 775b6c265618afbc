/** A connected socket of datagrams: what a client sent leaves from it, and what comes back goes to that client. */
import {isIPv6} from 'node:net';
import {constants} from 'node:os';
import {close, socket, socketType} from '../../core/libc.ts';
import {ready} from '../polling/epoll.ts';
import {ErrnoError} from '../polling/errno-error.ts';
import type {PolledDescriptor, Poller} from '../polling/poller.ts';
import {family, ipv4SocketAddress, ipv6SocketAddress} from '../socket-address.ts';
import {tryConnect, trySendStart} from './datagram-calls.ts';
import {slotCount} from './datagram-slots.ts';
import type {ReturnAddress} from './received-datagram.ts';
import type {ReplyBatch} from './reply-batch.ts';

const {EAGAIN, EINTR} = constants.errno;

/** Where answers go. */
export interface ServerSocketClient {
  readonly replies: ReplyBatch;
  readonly address: ReturnAddress;
}

export interface ServerSocketEvents {
  /** Answers were passed on. */
  onAnswers(bytes: number): void;
  /** Nothing can be sent there, or an ICMP message says that nobody listens. */
  onFailure(errno: number): void;
}

export class ServerSocket implements PolledDescriptor, Disposable {
  readonly fd: number;
  readonly #poller: Poller;
  readonly #client: ServerSocketClient;
  readonly #events: ServerSocketEvents;
  /** Datagrams that are asked for at a time: as many as came last. */
  #limit = 1;
  #closed = false;

  constructor(fd: number, poller: Poller, client: ServerSocketClient, events: ServerSocketEvents) {
    this.fd = fd;
    this.#poller = poller;
    this.#client = client;
    this.#events = events;
  }

  /** Sends the first `length` bytes. @returns whether they are on their way; when the server cannot be reached, `onFailure` is told before */
  send(memory: Uint8Array, length: number): boolean {
    const result = trySendStart(this.fd, memory, length);
    if (result >= 0) return true;
    if (result !== -EAGAIN && result !== -EINTR) this.#events.onFailure(-result);
    return false;
  }

  onReady(): void {
    const {replies, address} = this.#client;
    const result = replies.pass(this.fd, address, this.#limit);
    if (result >= 0) {
      // The kernel would look for one more in vain, which is a good part of the cost of one.
      this.#limit = result === this.#limit ? Math.min(result * 2, slotCount) : Math.max(result, 1);
      this.#events.onAnswers(replies.passedBytes);
    } else if (result !== -EAGAIN && result !== -EINTR) this.#events.onFailure(-result);
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poller.close(this);
  }
}

/** @param server an address. @throws ErrnoError when nothing can be sent there, SystemCallError when the process has no descriptor left */
export function openServerSocket(
  poller: Poller,
  server: {readonly address: string; readonly port: number},
  client: ServerSocketClient,
  events: ServerSocketEvents,
): ServerSocket {
  const ipv6 = isIPv6(server.address);
  const address = ipv6 ? ipv6SocketAddress(server.address, server.port) : ipv4SocketAddress(server.address, server.port);
  const fd = socket(ipv6 ? family.ipv6 : family.ipv4, socketType.datagram | socketType.closeOnExec | socketType.nonBlocking, 0);
  try {
    const result = tryConnect(fd, address);
    if (result < 0) throw new ErrnoError('connect', -result);
    const opened = new ServerSocket(fd, poller, client, events);
    poller.add(opened, ready.input);
    return opened;
  } catch (error) {
    close(fd);
    throw error;
  }
}
