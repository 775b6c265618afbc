/** The datagrams of one client address and port: held while the app wakes, then sent from a socket of their own, so that answers find back. */
import {lookup} from 'node:dns/promises';
import {isIP} from 'node:net';
import type {ServerConfig} from '../config/proxy-value.ts';
import type {Clock} from '../core/clock.ts';
import {assert, CodedError, errorMessage} from '../core/errors.ts';
import type {Linked} from './activity-list.ts';
import {showAddress} from './addresses.ts';
import type {Counters} from './counters.ts';
import {openServerSocket, type ServerSocket, type ServerSocketClient, type ServerSocketEvents} from './datagrams/server-socket.ts';
import {nextConnectionId} from './numbers.ts';
import {ErrnoError} from './polling/errno-error.ts';
import type {Poller} from './polling/poller.ts';
import type {AssignedServer, Assignment, Endpoint} from './pool/assignment.ts';
import type {Pool} from './pool/pool.ts';

/** Who keeps the sessions of a frontend. */
export interface SessionOwner {
  readonly clock: Clock;
  readonly counters: Counters;
  readonly poller: Poller;
  /** The app is awake, or the server never slept; called once, before the first datagram is sent. */
  established(session: UdpSession): void;
  /** A datagram went in either direction. */
  touched(session: UdpSession): void;
  /** The last question was answered, or nobody waits for the answer any longer. */
  idle(session: UdpSession): void;
  /** Called once, when the session is over; `error` when something went wrong. */
  closed(session: UdpSession, error: Error | null): void;
}

export interface UdpSessionOptions {
  readonly owner: SessionOwner;
  /** Under which its owner finds it. */
  readonly key: number | string;
  readonly source: string;
  readonly sourcePort: number;
  readonly pool: Pool;
  /** What stands before each datagram to a server; null: nothing does. */
  readonly headerFor: (server: ServerConfig) => Uint8Array | null;
  /** Without a datagram in either direction; the owner closes the session then. */
  readonly idleTimeoutMs: number;
  readonly client: ServerSocketClient;
}

const maxHeldDatagrams = 64;
const maxHeldBytes = 256 * 1024;
/** A datagram may be lost, or want no answer: nobody waits for one for as long as a stream may take. */
const maxBusyMs = 10_000;

/** What it has only until its server is known. */
interface Hold {
  readonly datagrams: Buffer[];
  bytes: number;
  /** Aborted when the session ends, or the wake takes too long. */
  readonly over: AbortController;
}

export class UdpSession implements Linked<UdpSession>, ServerSocketEvents {
  previous: UdpSession | null = null;
  next: UdpSession | null = null;
  /** Unlike that of any other connection or session of the process. */
  readonly id = nextConnectionId();
  readonly key: number | string;
  readonly source: string;
  readonly sourcePort: number;
  readonly idleTimeoutMs: number;
  readonly startedMs: number;
  lastActivityMs: number;
  readonly #owner: SessionOwner;
  readonly #client: ServerSocketClient;
  readonly #pool: Pool;
  readonly #headerFor: UdpSessionOptions['headerFor'];
  /** The server that was chosen last. */
  #chosen: AssignedServer | null = null;
  #assignment: Assignment | null = null;
  #header: Uint8Array | null = null;
  #bytesIn = 0;
  #bytesOut = 0;
  #finished = false;
  #hold: Hold | null = {datagrams: [], bytes: 0, over: new AbortController()};
  #socket: ServerSocket | null = null;
  #endpoint: Endpoint | null = null;
  #busy = true;
  #busySinceMs: number;
  /** Of the timer that ends being busy. It is left alone when an answer comes: a timer for each question would cost more than the question. */
  #cancelBusy: (() => void) | null = null;

  constructor({owner, key, source, sourcePort, pool, headerFor, idleTimeoutMs, client}: UdpSessionOptions) {
    this.key = key;
    this.source = source;
    this.sourcePort = sourcePort;
    this.idleTimeoutMs = idleTimeoutMs;
    this.#owner = owner;
    this.#client = client;
    this.#pool = pool;
    this.#headerFor = headerFor;
    this.startedMs = owner.clock.monotonicMs();
    this.lastActivityMs = this.startedMs;
    this.#busySinceMs = this.startedMs;
  }

  get app(): string | null {
    const target = this.#chosen?.target;
    return target?.kind === 'app' ? target.app : null;
  }

  get backend(): string {
    return this.#pool.name;
  }

  /** Null until it is chosen. */
  get server(): string | null {
    return this.#chosen?.name ?? null;
  }

  /** `backend/server` */
  get serverName(): string {
    return `${this.backend}/${this.server ?? '<NOSRV>'}`;
  }

  get isWaiting(): boolean {
    return this.#hold !== null;
  }

  get isBusy(): boolean {
    return this.#busy;
  }

  /** Waits for a server and sends what was held; returns when that is done, or the session is over. */
  async start(): Promise<void> {
    const hold = this.#hold;
    if (hold === null) return;
    const {counters, clock} = this.#owner;
    counters.waiting++;
    try {
      const {endpoint} = await this.#assign(hold.over.signal).finally(() => counters.waiting--);
      const {host} = endpoint;
      const address = isIP(host) === 0 ? (await lookup(host)).address : host;
      hold.over.signal.throwIfAborted();
      this.#open(endpoint, address);
      this.#hold = null;
      this.lastActivityMs = clock.monotonicMs();
      this.#busySinceMs = this.lastActivityMs;
      this.#owner.established(this);
      this.#watchBusy();
      for (const datagram of hold.datagrams) this.#send(datagram, datagram.length);
    } catch (error) {
      if (!this.#finished) this.#finish(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** A datagram from the client: the first `length` bytes, which are copied if they are kept. */
  take(memory: Buffer, length: number): void {
    if (this.#finished) return;
    const {clock, counters} = this.#owner;
    this.lastActivityMs = clock.monotonicMs();
    counters.bytesIn += length;
    this.#bytesIn += length;
    const hold = this.#hold;
    if (hold === null) {
      this.#owner.touched(this);
      if (!this.#busy) this.#becomeBusy();
      this.#send(memory, length);
      return;
    }
    if (hold.datagrams.length >= maxHeldDatagrams || hold.bytes + length > maxHeldBytes) {
      counters.datagramsDropped++;
      return;
    }
    hold.datagrams.push(Buffer.from(memory.subarray(0, length)));
    hold.bytes += length;
  }

  /** Of the pool. */
  cut(): void {
    this.close();
  }

  /** Ends the session; its owner is told before this returns. */
  close(): void {
    if (!this.#finished) this.#finish(null);
  }

  onAnswers(bytes: number): void {
    this.lastActivityMs = this.#owner.clock.monotonicMs();
    this.#owner.counters.bytesOut += bytes;
    this.#bytesOut += bytes;
    this.#owner.touched(this);
    if (this.#busy) this.#becomeIdle();
  }

  onFailure(errno: number): void {
    this.#fail(new ErrnoError('datagram', errno));
  }

  async #assign(signal: AbortSignal): Promise<Assignment> {
    const assignment = await this.#pool.assign(
      {
        source: this.source,
        http: null,
        sample: null,
        trigger: {kind: 'datagram', protocol: 'udp', source: this.source},
        preferred: [],
        placed: (server) => {
          this.#chosen = server;
          this.#header = server.config.sendProxy === null ? null : this.#headerFor(server.config);
        },
      },
      signal,
    );
    assignment.ends(this);
    assignment.isConnected = true;
    this.#assignment = assignment;
    // The session may have ended at the same moment.
    if (this.#finished) this.#release(null);
    return assignment;
  }

  #open(endpoint: Endpoint, address: string): void {
    assert(endpoint.path === null, `Server "${this.serverName}" of datagrams is a unix socket`);
    this.#endpoint = endpoint;
    try {
      this.#socket = openServerSocket(this.#owner.poller, {address, port: endpoint.port}, this.#client, this);
    } catch (error) {
      throw this.#cannotSend(error);
    }
  }

  #send(memory: Uint8Array, length: number): void {
    if (this.#socket === null) return;
    const header = this.#header;
    const whole = header === null ? memory : Buffer.concat([header, memory.subarray(0, length)]);
    if (!this.#socket.send(whole, header === null ? length : whole.length) && !this.#finished) this.#owner.counters.datagramsDropped++;
  }

  #cannotSend(cause: unknown): CodedError {
    const {host, port} = this.#endpoint ?? {host: '', port: 0};
    const message = `Cannot send to server "${this.serverName}" at ${showAddress(host, port)}: ${errorMessage(cause)}`;
    return new CodedError('ERR_CONNECT', message, {source: 'server', retryable: true, cause});
  }

  #fail(cause: Error): void {
    if (!this.#finished) this.#finish(this.#cannotSend(cause));
  }

  #finish(error: Error | null): void {
    this.#finished = true;
    this.#hold?.over.abort(new CodedError('ERR_ABANDONED', 'The session is over', {source: 'client'}));
    this.#cancelBusy?.();
    this.#socket?.[Symbol.dispose]();
    this.#socket = null;
    this.#release(error);
    this.#owner.closed(this, error);
  }

  #release(error: Error | null): void {
    const outcome = error === null ? 'done' : 'server-error';
    this.#assignment?.release({outcome, bytesIn: this.#bytesIn, bytesOut: this.#bytesOut, responseMs: null});
  }

  #becomeBusy(): void {
    this.#busy = true;
    this.#busySinceMs = this.lastActivityMs;
    this.#assignment?.busy(true);
    this.#watchBusy();
  }

  #becomeIdle(): void {
    this.#busy = false;
    this.#assignment?.busy(false);
    this.#owner.idle(this);
  }

  #watchBusy(): void {
    if (this.#cancelBusy !== null) return;
    const limitMs = Math.min(maxBusyMs, this.#pool.config.serverTimeoutMs);
    const {clock} = this.#owner;
    const check = (): void => {
      this.#cancelBusy = null;
      if (!this.#busy) return;
      const leftMs = this.#busySinceMs + limitMs - clock.monotonicMs();
      // A timer may come a fraction of a millisecond early.
      if (leftMs >= 1) this.#cancelBusy = clock.after(leftMs, check);
      else this.#becomeIdle();
    };
    this.#cancelBusy = clock.after(limitMs, check);
  }
}
