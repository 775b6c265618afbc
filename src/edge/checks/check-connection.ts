/** The connection of one health check: opened, written to and read from within deadlines. */
import {connect, type Socket} from 'node:net';
import type {Duplex} from 'node:stream';
import type {ServerConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import {CheckFailure, socketReason} from './check-failure.ts';
import type {CheckStatus} from './check-result.ts';

export interface TlsNames {
  /** Null: no name is asked for. */
  readonly sni: string | null;
  /** Null: what the server's traffic offers. */
  readonly alpn: readonly string[] | null;
  /** They are not offered, whoever says so. */
  readonly unspoken: readonly string[];
}

/** What other parts of the edge do for a check. */
export interface CheckServices {
  /** Makes TLS of an open connection. Rejects when the handshake fails. */
  secure(socket: Socket, server: ServerConfig, names: TlsNames): Promise<Duplex>;
  /** The PROXY header that a server is sent before anything else. */
  proxyHeader(server: ServerConfig, socket: Socket): Uint8Array;
}

export type CheckAddress = {readonly host: string; readonly port: number; readonly localAddress?: string} | {readonly path: string};

export interface ConnectionOptions {
  readonly address: CheckAddress;
  readonly server: ServerConfig;
  /** Null: without TLS. */
  readonly tls: TlsNames | null;
  readonly sendProxy: boolean;
  /** It is ended in order, and not just given up. */
  readonly lingers: boolean;
  /** For the connection and the handshake. */
  readonly connectTimeoutMs: number;
  readonly services: CheckServices;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Of an answer; what comes after is not looked at. */
const maxReceivedBytes = 16 * 1024;

export class CheckConnection implements Disposable {
  /** What has come and was not yet thrown away. */
  received: Buffer = Buffer.alloc(0);
  /** No more will come, or be looked at. */
  ended = false;
  readonly isSecured: boolean;
  readonly #lingers: boolean;
  readonly #stream: Duplex;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #error: Error | null = null;
  #wake: () => void = () => undefined;

  constructor(stream: Duplex, {tls, lingers, clock, signal}: Pick<ConnectionOptions, 'tls' | 'lingers' | 'clock' | 'signal'>) {
    this.#stream = stream;
    this.isSecured = tls !== null;
    this.#lingers = lingers;
    this.#clock = clock;
    this.#signal = signal;
    stream.on('data', (chunk: Buffer) => {
      if (this.received.length < maxReceivedBytes) this.received = Buffer.concat([this.received, chunk]);
      if (this.received.length >= maxReceivedBytes) this.ended = true;
      this.#wake();
    });
    stream.on('end', () => {
      this.ended = true;
      this.#wake();
    });
    stream.on('error', (error) => {
      this.#error = error;
      this.#wake();
    });
  }

  send(bytes: Uint8Array): void {
    if (!this.#stream.destroyed) this.#stream.write(bytes);
  }

  /**
   * Waits until `judge` decides, which is asked whenever there is something new.
   * @throws CheckFailure SOCKERR, or L7TOUT; what `judge` throws; the reason of the signal
   */
  async receive<T>(judge: () => T | null, timeoutMs: number): Promise<T> {
    const deadline = {passed: false}; // not a variable: the compiler would take it for false for ever
    const wake = (): void => this.#wake();
    const cancel = this.#clock.after(timeoutMs, () => {
      deadline.passed = true;
      wake();
    });
    this.#signal.addEventListener('abort', wake);
    try {
      while (true) {
        this.#signal.throwIfAborted();
        const decided = judge();
        if (decided !== null) return decided;
        if (this.#error !== null) throw new CheckFailure('SOCKERR', socketReason(this.#error));
        if (deadline.passed) throw new CheckFailure('L7TOUT', '');
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      cancel();
      this.#signal.removeEventListener('abort', wake);
    }
  }

  [Symbol.dispose](): void {
    // Not an orderly end, unless it is wanted: the server shall not keep anything of it.
    const stream = this.#stream;
    // The last message of a handshake may still be on its way out.
    if (this.#lingers || this.isSecured) stream.end(() => stream.destroy());
    else stream.destroy();
  }
}

/** @throws CheckFailure L4CON, L4TOUT, L6RSP, L6TOUT; the reason of the signal */
export async function openCheckConnection(options: ConnectionOptions): Promise<CheckConnection> {
  const {address, server, services, clock, signal} = options;
  signal.throwIfAborted();
  const socket = connect({...address, noDelay: true});
  const deadlineMs = clock.monotonicMs() + options.connectTimeoutMs;
  try {
    const connected = new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', (error) => reject(new CheckFailure('L4CON', socketReason(error))));
    });
    await within(connected, {timeoutMs: options.connectTimeoutMs, late: 'L4TOUT', clock, signal});
    socket.on('error', ignoreError);
    if (options.sendProxy) socket.write(services.proxyHeader(server, socket));
    if (options.tls === null) return new CheckConnection(socket, options);
    const secured = services.secure(socket, server, options.tls).catch(() => {
      throw new CheckFailure('L6RSP', 'SSL handshake failure');
    });
    const stream = await within(secured, {timeoutMs: deadlineMs - clock.monotonicMs(), late: 'L6TOUT', clock, signal});
    return new CheckConnection(stream, options);
  } catch (error) {
    socket.on('error', ignoreError);
    socket.destroy();
    throw error;
  }
}

function ignoreError(): void {
  // Told by the stream that is read from, or nobody waits any more.
}

interface Within {
  readonly timeoutMs: number;
  readonly late: CheckStatus;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

function within<T>(promise: Promise<T>, {timeoutMs, late, clock, signal}: Within): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(signal.reason instanceof Error ? signal.reason : new CheckFailure('SOCKERR', ''));
    const cancel = clock.after(timeoutMs, () => reject(new CheckFailure(late, '')));
    signal.addEventListener('abort', leave);
    promise.then(resolve, reject).finally(() => {
      cancel();
      signal.removeEventListener('abort', leave);
    });
  });
}
