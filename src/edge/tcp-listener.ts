/**
 * One listening TCP socket that can stop accepting without closing: connections then wait in the kernel's backlog, as HAProxy leaves
 * them at its limit. Node always accepts, so a pause keeps a duplicate of the descriptor and closes Node's server, and a resume
 * makes a new server of the duplicate.
 */

import {once} from 'node:events';
import {createServer, type Server, type Socket} from 'node:net';
import type {Bind} from '../config/proxy-value.ts';
import {assert} from '../core/errors.ts';
import {close, duplicate, stopListening} from '../core/libc.ts';
import {bindError, showBind} from './addresses.ts';
import {type ListeningSockets, openListeningSockets, type SharedSocket} from './listening-sockets.ts';

/** HAProxy's `option clitcpka` leaves it to the system, whose two hours are too long for a client that vanished. */
const keepAliveInitialDelay = 60_000;

export interface TcpListener extends Disposable {
  /** The path, and port 0, of a unix socket. */
  readonly host: string;
  readonly port: number;
  /** New connections stay in the backlog. Pausing twice is harmless, as is resuming. */
  pause(): void;
  /** New connections are refused; those to a unix socket stay in the backlog, because such a socket cannot listen twice. */
  refuse(): void;
  resume(): void;
}

export interface TcpListenerOptions {
  readonly frontend: string;
  readonly bind: Bind;
  /** Whether an address of IPv6 leaves IPv4 to another bind, where the bind itself does not say. */
  readonly ipv6Only: boolean;
  /** Shared with the listeners of another generation of the configuration; by default it has its own socket. */
  readonly sockets?: ListeningSockets | undefined;
  /** Gets sockets that nobody reads yet, never after `pause()` or dispose. */
  readonly onConnection: (client: Socket) => void;
  readonly onError: (error: Error) => void;
}

type State = {readonly kind: 'open'; readonly server: Server} | {readonly kind: 'paused'; readonly fd: number} | {readonly kind: 'closed'};

/**
 * Listens, until it is disposed.
 * @throws CodedError ERR_BIND
 */
export async function openTcpListener(options: TcpListenerOptions): Promise<TcpListener> {
  const {frontend, bind} = options;
  const shared = await (options.sockets ?? openListeningSockets()).take({frontend, bind, ipv6Only: options.ipv6Only});
  const listener = new Listener(options, shared);
  try {
    await listener.opened;
  } catch (error) {
    listener[Symbol.dispose]();
    throw bindError(frontend, bind, error);
  }
  return listener;
}

class Listener implements TcpListener {
  /** Settles when the first connection can come. */
  readonly opened: Promise<unknown>;
  readonly #options: TcpListenerOptions;
  readonly #shared: SharedSocket;
  readonly #address: {readonly host: string; readonly port: number};
  #state: State;
  /** The frontend wants no more connections now. */
  #held = false;
  /** Of this bind, for its `maxconn`. */
  #connections = 0;

  constructor(options: TcpListenerOptions, shared: SharedSocket) {
    this.#options = options;
    this.#shared = shared;
    const server = this.#serve(shared.fd);
    this.#state = {kind: 'open', server};
    this.opened = once(server, 'listening');
    server.on('error', options.onError);
    this.#address = addressOf(server, options.bind);
  }

  get host(): string {
    return this.#address.host;
  }

  get port(): number {
    return this.#address.port;
  }

  pause(): void {
    this.#held = true;
    this.#update();
  }

  refuse(): void {
    this.pause();
    if (this.#state.kind === 'paused' && this.#options.bind.unix === null) stopListening(this.#state.fd);
  }

  resume(): void {
    this.#held = false;
    this.#update();
  }

  [Symbol.dispose](): void {
    if (this.#state.kind === 'open') this.#state.server.close();
    if (this.#state.kind === 'paused') close(this.#state.fd);
    this.#state = {kind: 'closed'};
    this.#shared[Symbol.dispose]();
  }

  #serve(fd: number): Server {
    const server = createServer({allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay}, (client) => {
      if (this.#options.bind.unix !== null) knowsNoReset(client);
      if (this.#state.kind === 'open' && this.#state.server === server) this.#accept(client);
      // Accepted in the very turn in which it was paused or closed.
      else client.resetAndDestroy();
    });
    server.listen({fd, backlog: this.#shared.backlog});
    return server;
  }

  #accept(client: Socket): void {
    const {bind, onConnection} = this.#options;
    if (bind.maxconn !== null) {
      this.#connections++;
      this.#update();
      client.once('close', () => {
        this.#connections--;
        this.#update();
      });
    }
    onConnection(client);
  }

  #update(): void {
    const {bind} = this.#options;
    const hold = this.#held || (bind.maxconn !== null && this.#connections >= bind.maxconn);
    if (hold && this.#state.kind === 'open') {
      const {server} = this.#state;
      this.#state = {kind: 'paused', fd: duplicate(descriptorOf(server))};
      server.close();
    } else if (!hold && this.#state.kind === 'paused') {
      const server = this.#serve(this.#state.fd);
      this.#state = {kind: 'open', server};
      server.on('error', this.#options.onError);
    }
  }
}

/** Whoever refuses a client resets its connection; a unix socket is simply closed. */
function knowsNoReset(client: Socket): void {
  client.resetAndDestroy = () => client.destroy();
}

function descriptorOf(server: Server): number {
  const handle: unknown = '_handle' in server ? server._handle : null;
  const fd: unknown = typeof handle === 'object' && handle !== null && 'fd' in handle ? handle.fd : null;
  assert(typeof fd === 'number' && fd >= 0, 'A listening server has no descriptor');
  return fd;
}

function addressOf(server: Server, bind: Bind): {readonly host: string; readonly port: number} {
  const address = server.address();
  if (bind.unix === null && address !== null && typeof address === 'object' && 'port' in address) return {host: address.address, port: address.port};
  return {host: showBind(bind), port: 0};
}
