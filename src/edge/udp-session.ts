/** The datagrams of one client address and port: held while the app wakes, then sent from a socket of their own, so that answers find back. */
import {createSocket, type Socket} from 'node:dgram';
import {lookup} from 'node:dns/promises';
import type {Clock} from '../core/clock.ts';
import {CodedError, errorMessage} from '../core/errors.ts';
import {showAddress} from './addresses.ts';
import type {SessionHandle} from './app-access.ts';
import type {Counters} from './counters.ts';
import type {Endpoint, Waiting} from './waiting.ts';

export interface UdpSessionOptions {
  readonly source: string;
  readonly waiting: Waiting;
  /** Stands before each datagram to the server; null: nothing does. */
  readonly header: Uint8Array | null;
  /** Without a datagram in either direction; the caller closes the session then. */
  readonly idleTimeoutMs: number;
  readonly clock: Clock;
  readonly counters: Counters;
  /** Sends a datagram of the server to the client. */
  readonly reply: (datagram: Buffer) => void;
  /** Called after each datagram, in either direction. */
  readonly onActivity: () => void;
  /** Called once, when the session is over; `error` when something went wrong. */
  readonly onClosed: (error: Error | null) => void;
}

const maxHeldDatagrams = 64;
const maxHeldBytes = 256 * 1024;
/** A datagram may be lost, or want no answer: nobody waits for one for as long as a stream may take. */
const maxBusyMs = 10_000;

export class UdpSession {
  readonly startedMs: number;
  lastActivityMs: number;
  readonly #options: UdpSessionOptions;
  readonly #handle: SessionHandle | null;
  /** Aborted when the session ends, or its wake takes too long. */
  readonly #over = new AbortController();
  #finished = false;
  #held: Buffer[] | null = [];
  #heldBytes = 0;
  #socket: Socket | null = null;
  #busy = true;
  #cancelBusy: () => void = () => undefined;

  constructor(options: UdpSessionOptions) {
    this.#options = options;
    this.startedMs = options.clock.monotonicMs();
    this.lastActivityMs = this.startedMs;
    this.#handle = options.waiting.openSession();
    this.#handle?.busy(true);
  }

  get app(): string | null {
    const {target} = this.#options.waiting.server;
    return target.kind === 'app' ? target.app : null;
  }

  get source(): string {
    return this.#options.source;
  }

  get idleTimeoutMs(): number {
    return this.#options.idleTimeoutMs;
  }

  get isWaiting(): boolean {
    return this.#held !== null;
  }

  get isBusy(): boolean {
    return this.#busy;
  }

  /** Wakes the app and sends what was held; returns when that is done, or the session is over. */
  async start(): Promise<void> {
    const {waiting, counters, source} = this.#options;
    counters.waiting++;
    try {
      const endpoint = await waiting.endpoint({kind: 'datagram', protocol: 'udp', source}, this.#over).finally(() => counters.waiting--);
      const socket = await this.#open(endpoint);
      const held = this.#held ?? [];
      this.#held = null;
      this.#watchBusy();
      for (const datagram of held) this.#send(socket, datagram);
    } catch (error) {
      if (!this.#finished) this.#finish(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** A datagram from the client. */
  take(datagram: Buffer): void {
    if (this.#finished) return;
    this.#touch();
    this.#options.counters.bytesIn += datagram.length;
    this.#setBusy(true);
    if (this.#held === null) {
      if (this.#socket !== null) this.#send(this.#socket, datagram);
      return;
    }
    if (this.#held.length >= maxHeldDatagrams || this.#heldBytes + datagram.length > maxHeldBytes) {
      this.#options.counters.datagramsDropped++;
      return;
    }
    this.#held.push(datagram);
    this.#heldBytes += datagram.length;
  }

  /** Ends the session; `onClosed` is called before this returns. */
  close(): void {
    if (!this.#finished) this.#finish(null);
  }

  async #open({host, port}: Endpoint): Promise<Socket> {
    const {address, family} = await lookup(host);
    const {signal} = this.#over;
    signal.throwIfAborted();
    const socket = createSocket({type: family === 6 ? 'udp6' : 'udp4'});
    this.#socket = socket;
    // An ICMP refusal arrives as the error of the next call on the socket.
    socket.on('error', (error) => this.#fail(host, port, error));
    await new Promise<void>((resolve, reject) => {
      socket.once('close', () => reject(new CodedError('ERR_ABANDONED', 'The session is over', {source: 'client'})));
      // Not as a callback of connect(): that is called when it fails, too; failures are `error` events.
      socket.once('connect', resolve);
      socket.connect(port, address);
    });
    socket.on('message', (datagram) => {
      this.#touch();
      this.#options.counters.bytesOut += datagram.length;
      this.#options.reply(datagram);
      this.#setBusy(false);
    });
    return socket;
  }

  #send(socket: Socket, datagram: Buffer): void {
    if (this.#finished) return;
    const {header} = this.#options;
    socket.send(header === null ? datagram : [header, datagram], this.#sent);
  }

  /** One function for all datagrams: one for each would cost more than the sending. */
  readonly #sent = (error: Error | null): void => {
    if (error === null || this.#finished || this.#socket === null) return;
    const {address, port} = this.#socket.remoteAddress();
    this.#fail(address, port, error);
  };

  #fail(host: string, port: number, cause: Error): void {
    if (this.#finished) return;
    const {backend, server} = this.#options.waiting;
    const message = `Cannot send to server "${backend.name}/${server.name}" at ${showAddress(host, port)}: ${errorMessage(cause)}`;
    this.#finish(new CodedError('ERR_CONNECT', message, {source: 'server', retryable: true, cause}));
  }

  #finish(error: Error | null): void {
    this.#finished = true;
    this.#over.abort(new CodedError('ERR_ABANDONED', 'The session is over', {source: 'client'}));
    this.#cancelBusy();
    this.#socket?.close();
    this.#held = null;
    this.#handle?.[Symbol.dispose]();
    this.#options.onClosed(error);
  }

  #touch(): void {
    this.lastActivityMs = this.#options.clock.monotonicMs();
    this.#options.onActivity();
  }

  #setBusy(value: boolean): void {
    if (this.#busy === value) return;
    this.#busy = value;
    this.#handle?.busy(value);
    this.#cancelBusy();
    if (value) this.#watchBusy();
    else this.#options.onActivity();
  }

  #watchBusy(): void {
    const {clock, waiting} = this.#options;
    this.#cancelBusy = clock.after(Math.min(maxBusyMs, waiting.backend.serverTimeoutMs), () => this.#setBusy(false));
  }
}
