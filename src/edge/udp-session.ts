/** The datagrams of one client address and port: held while the app wakes, then sent from a socket of their own, so that answers find back. */
import {createSocket, type Socket} from 'node:dgram';
import {lookup} from 'node:dns/promises';
import type {ServerConfig} from '../config/proxy-value.ts';
import type {Clock} from '../core/clock.ts';
import {assert, CodedError, errorMessage} from '../core/errors.ts';
import {showAddress} from './addresses.ts';
import type {Counters} from './counters.ts';
import type {AssignedServer, Assignment, Endpoint} from './pool/assignment.ts';
import type {Pool} from './pool/pool.ts';
import {nextConnectionId} from './session/connection-facts.ts';

export interface UdpSessionOptions {
  readonly source: string;
  readonly sourcePort: number;
  readonly pool: Pool;
  /** What stands before each datagram to a server; null: nothing does. */
  readonly headerFor: (server: ServerConfig) => Uint8Array | null;
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
  readonly id = nextConnectionId();
  readonly startedMs: number;
  lastActivityMs: number;
  readonly #options: UdpSessionOptions;
  /** The server that was chosen last. */
  #chosen: AssignedServer | null = null;
  #assignment: Assignment | null = null;
  /** Aborted when the session ends. */
  readonly #over = new AbortController();
  #finished = false;
  #held: Buffer[] | null = [];
  #heldBytes = 0;
  #bytesIn = 0;
  #bytesOut = 0;
  #header: Uint8Array | null = null;
  #socket: Socket | null = null;
  #busy = true;
  #cancelBusy: () => void = () => undefined;

  constructor(options: UdpSessionOptions) {
    this.#options = options;
    this.startedMs = options.clock.monotonicMs();
    this.lastActivityMs = this.startedMs;
  }

  get app(): string | null {
    const target = this.#chosen?.target;
    return target?.kind === 'app' ? target.app : null;
  }

  /** `backend/server` */
  get serverName(): string {
    return `${this.#options.pool.name}/${this.#chosen?.name ?? '<NOSRV>'}`;
  }

  get backend(): string {
    return this.#options.pool.name;
  }

  get server(): string | null {
    return this.#chosen?.name ?? null;
  }

  get sourcePort(): number {
    return this.#options.sourcePort;
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

  /** Waits for a server and sends what was held; returns when that is done, or the session is over. */
  async start(): Promise<void> {
    const {counters} = this.#options;
    counters.waiting++;
    try {
      const {endpoint} = await this.#assign().finally(() => counters.waiting--);
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
    this.#bytesIn += datagram.length;
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

  async #assign(): Promise<Assignment> {
    const {pool, source} = this.#options;
    const assignment = await pool.assign(
      {
        source,
        http: null,
        sample: null,
        trigger: {kind: 'datagram', protocol: 'udp', source},
        preferred: [],
        placed: (server) => {
          this.#chosen = server;
          this.#header = server.config.sendProxy === null ? null : this.#options.headerFor(server.config);
        },
      },
      this.#over.signal,
    );
    assignment.onCut = () => this.close();
    this.#assignment = assignment;
    // The session may have ended at the same moment.
    if (this.#finished) this.#release(null);
    return assignment;
  }

  async #open({host, port, path}: Endpoint): Promise<Socket> {
    assert(path === null, `Server "${this.serverName}" of datagrams is a unix socket`);
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
      this.#bytesOut += datagram.length;
      this.#options.reply(datagram);
      this.#setBusy(false);
    });
    return socket;
  }

  #send(socket: Socket, datagram: Buffer): void {
    if (this.#finished) return;
    socket.send(this.#header === null ? datagram : [this.#header, datagram], this.#sent);
  }

  /** One function for all datagrams: one for each would cost more than the sending. */
  readonly #sent = (error: Error | null): void => {
    if (error === null || this.#finished || this.#socket === null) return;
    const {address, port} = this.#socket.remoteAddress();
    this.#fail(address, port, error);
  };

  #fail(host: string, port: number, cause: Error): void {
    if (this.#finished) return;
    const message = `Cannot send to server "${this.serverName}" at ${showAddress(host, port)}: ${errorMessage(cause)}`;
    this.#finish(new CodedError('ERR_CONNECT', message, {source: 'server', retryable: true, cause}));
  }

  #finish(error: Error | null): void {
    this.#finished = true;
    this.#over.abort(new CodedError('ERR_ABANDONED', 'The session is over', {source: 'client'}));
    this.#cancelBusy();
    this.#socket?.close();
    this.#held = null;
    this.#release(error);
    this.#options.onClosed(error);
  }

  #release(error: Error | null): void {
    const outcome = error === null ? 'done' : 'server-error';
    this.#assignment?.release({outcome, bytesIn: this.#bytesIn, bytesOut: this.#bytesOut, responseMs: null});
  }

  #touch(): void {
    this.lastActivityMs = this.#options.clock.monotonicMs();
    this.#options.onActivity();
  }

  #setBusy(value: boolean): void {
    if (this.#busy === value) return;
    this.#busy = value;
    this.#assignment?.busy(value);
    this.#cancelBusy();
    if (value) this.#watchBusy();
    else this.#options.onActivity();
  }

  #watchBusy(): void {
    const {clock, pool} = this.#options;
    this.#cancelBusy = clock.after(Math.min(maxBusyMs, pool.config.serverTimeoutMs), () => this.#setBusy(false));
  }
}
