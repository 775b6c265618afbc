/**
 * One listening TCP socket that can stop accepting without closing: connections then wait in the kernel's backlog, as HAProxy leaves
 * them at its limit.
 */
import {constants} from 'node:os';
import type {Bind} from '../config/proxy-value.ts';
import {close, listenSocket, SystemCallError, setNonBlocking, stopListening} from '../core/libc.ts';
import {bindError, showBind} from './addresses.ts';
import {type ListeningSockets, openListeningSockets, type SharedSocket} from './listening-sockets.ts';
import {ready} from './polling/epoll.ts';
import {ErrnoError} from './polling/errno-error.ts';
import {type PolledDescriptor, processPoller} from './polling/poller.ts';
import {acceptedPeer, localEndOf, prepareStream, tryAccept} from './streams/stream-calls.ts';
import {StreamSocket} from './streams/stream-socket.ts';

const {EAGAIN, ECONNABORTED, EINTR, EINVAL, EPROTO} = constants.errno;

/** HAProxy's `option clitcpka` leaves it to the system, whose two hours are too long for a client that vanished. */
const keepAliveSeconds = 60;
/** Connections that are up have their turn in between. */
const defaultAcceptsPerTurn = 64;
/** When the process has no descriptor left, one that is closed meanwhile may help. */
const acceptAgainMs = 100;

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
  /** What is left in the backlog waits for the next turn, or for another thread. */
  readonly acceptsPerTurn?: number | undefined;
  /** Gets sockets that nobody reads yet, never after `pause()` or dispose. */
  readonly onConnection: (client: StreamSocket) => void;
  readonly onError: (error: Error) => void;
}

/**
 * Listens, until it is disposed.
 * @throws CodedError ERR_BIND
 */
export async function openTcpListener(options: TcpListenerOptions): Promise<TcpListener> {
  const {frontend, bind} = options;
  const shared = await (options.sockets ?? openListeningSockets()).take({frontend, bind, ipv6Only: options.ipv6Only});
  try {
    return new Listener(options, shared);
  } catch (error) {
    close(shared.fd);
    shared[Symbol.dispose]();
    throw bindError(frontend, bind, error);
  }
}

class Listener implements TcpListener, PolledDescriptor {
  readonly fd: number;
  readonly host: string;
  readonly port: number;
  readonly #options: TcpListenerOptions;
  readonly #shared: SharedSocket;
  readonly #acceptsPerTurn: number;
  #isOpen = false;
  #isDisposed = false;
  /** The frontend wants no more connections now. */
  #held = false;
  #refuses = false;
  /** Until it is tried again after an error. */
  #failed: NodeJS.Timeout | null = null;
  /** Of this bind, for its `maxconn`. */
  #connections = 0;

  constructor(options: TcpListenerOptions, shared: SharedSocket) {
    const {bind} = options;
    this.#options = options;
    this.#shared = shared;
    this.#acceptsPerTurn = options.acceptsPerTurn ?? defaultAcceptsPerTurn;
    this.fd = shared.fd;
    const end = bind.unix === null ? localEndOf(shared.fd) : null;
    this.host = end?.host ?? showBind(bind);
    this.port = end?.port ?? 0;
    setNonBlocking(shared.fd);
    // A generation before may have refused connections to it.
    if (this.#isRefusable) listenSocket(shared.fd, shared.backlog);
    // Connections that are accepted have what their listener has.
    prepareStream(shared.fd, {keepAlive: end !== null, keepAliveSeconds});
    this.#update();
  }

  pause(): void {
    this.#held = true;
    this.#update();
  }

  refuse(): void {
    this.pause();
    // A socket that was given by us is for others too.
    if (this.#isDisposed || !this.#isRefusable || this.#shared.hasOthers) return;
    this.#refuses = true;
    stopListening(this.fd);
  }

  /** Not one that was given to us, which is for others too, nor one that cannot listen twice, or about which another thread decides. */
  get #isRefusable(): boolean {
    const {unix, inheritedFd} = this.#options.bind;
    return unix === null && inheritedFd === null && this.#shared.isElsewhere !== true;
  }

  resume(): void {
    this.#held = false;
    this.#update();
  }

  onReady(): void {
    for (let accepted = 0; accepted < this.#acceptsPerTurn && this.#isOpen; accepted++) if (!this.#acceptOne()) return;
  }

  /** @returns whether there may be more */
  #acceptOne(): boolean {
    const fd = tryAccept(this.fd);
    if (fd >= 0) this.#accept(fd);
    else if (fd !== -ECONNABORTED && fd !== -EPROTO) {
      const isStopped = fd === -EINVAL && this.#shared.isElsewhere === true;
      if (fd !== -EAGAIN && fd !== -EINTR && !isStopped) this.#fail(-fd);
      return false;
    }
    return true;
  }

  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    // Closing would reset those who wait, although they are connected.
    if (!this.#shared.hasOthers) while (this.#isOpen && this.#acceptOne());
    this.#isDisposed = true;
    this.#update();
    close(this.fd);
    this.#shared[Symbol.dispose]();
  }

  #accept(fd: number): void {
    const {bind, onConnection} = this.#options;
    let client: StreamSocket;
    try {
      client = new StreamSocket({fd, peer: acceptedPeer()});
    } catch (error) {
      // The kernel watches no more of them: this client is lost, those that are up go on.
      close(fd);
      if (!(error instanceof SystemCallError)) throw error;
      this.#fail(error.errno);
      return;
    }
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

  #fail(errno: number): void {
    this.#options.onError(new ErrnoError('accept', errno));
    this.#failed = setTimeout(() => {
      this.#failed = null;
      this.#update();
    }, acceptAgainMs);
    this.#update();
  }

  #update(): void {
    const {maxconn} = this.#options.bind;
    const isFull = maxconn !== null && this.#connections >= maxconn;
    const wanted = !this.#held && !isFull && !this.#isDisposed && this.#failed === null;
    if (wanted === this.#isOpen) return;
    this.#isOpen = wanted;
    if (!wanted) {
      processPoller().remove(this);
      return;
    }
    if (this.#refuses) listenSocket(this.fd, this.#shared.backlog);
    this.#refuses = false;
    processPoller().add(this, ready.input);
  }
}
