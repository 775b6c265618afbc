/** One client connection of a `mode tcp` frontend: held while its app wakes, then joined to its server. */
import {connect, type Socket} from 'node:net';
import {setTimeout as sleep} from 'node:timers/promises';
import type {Clock} from '../core/clock.ts';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import {plainAddress, showAddress} from './addresses.ts';
import type {SessionHandle} from './app-access.ts';
import type {Counters} from './counters.ts';
import type {RefusalLog} from './refusal-log.ts';
import {type Relay, startRelay} from './relay.ts';
import type {Endpoint, Waiting} from './waiting.ts';

export interface TcpSessionOptions {
  readonly client: Socket;
  readonly frontend: string;
  readonly clientTimeoutMs: number;
  readonly waiting: Waiting;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly refusals: RefusalLog;
}

/**
 * A listener that accepted a moment ago may refuse once more, for example while a server that was woken replaces its workers. So many
 * further attempts, the first at once, the others after these delays.
 */
const retryDelaysMs = [0, 5, 20, 50, 100] as const;

export class TcpSession {
  readonly startedMs: number;
  readonly source: string;
  /** Settles when both sockets are gone. */
  readonly closed: Promise<void>;
  readonly #options: TcpSessionOptions;
  readonly #handle: SessionHandle | null;
  /** Aborted when the client leaves, or its wake takes too long. */
  readonly #hold = new AbortController();
  #server: Socket | null = null;
  #relay: Relay | null = null;

  /** Takes over an accepted socket, which nobody reads yet. */
  constructor(options: TcpSessionOptions) {
    const {client, clock} = options;
    this.#options = options;
    this.startedMs = clock.monotonicMs();
    this.source = plainAddress(client.remoteAddress ?? '');
    this.#handle = options.waiting.openSession();
    this.closed = new Promise((resolve) => {
      client.once('close', () => {
        if (this.#relay === null) this.#hold.abort(new CodedError('ERR_ABANDONED', 'The client has left', {source: 'client'}));
        this.#relay?.stop();
        this.#handle?.[Symbol.dispose]();
        if (this.#server === null || this.#server.closed) resolve();
        else {
          this.#server.once('close', () => resolve());
          this.#server.destroy();
        }
      });
    });
    // What goes wrong with the client's connection is the client's; 'close' follows.
    client.on('error', () => {
      if (this.#server?.connecting === false) this.#server.resetAndDestroy();
    });
  }

  get app(): string | null {
    const {target} = this.#options.waiting.server;
    return target.kind === 'app' ? target.app : null;
  }

  /** When bytes moved last, or the session began (Clock.monotonicMs). */
  get lastActivityMs(): number {
    return this.#relay?.lastActivityMs() ?? this.startedMs;
  }

  get isBusy(): boolean {
    return this.#relay?.isBusy() ?? true;
  }

  /** Ends the session without ceremony. */
  cut(): void {
    this.#options.client.destroy();
  }

  /** Wakes, connects and joins; returns when the session is joined, or has been refused. */
  async start(): Promise<void> {
    const {signal} = this.#hold;
    this.#handle?.busy(true);
    try {
      const endpoint = await this.#wake();
      this.#join(await this.#connect(endpoint, signal));
    } catch (error) {
      if (errorCode(signal.reason) === 'ERR_ABANDONED') this.#options.counters.abandoned++;
      else this.#refuse(error);
    }
  }

  async #wake(): Promise<Endpoint> {
    const {client, waiting, counters} = this.#options;
    // A client that said nothing and closes has left; one that said something may wait for its answer half-closed.
    const onEnd = (): void => void client.destroy();
    client.once('end', onEnd);
    counters.waiting++;
    try {
      return await waiting.endpoint({kind: 'connection', protocol: 'tcp', source: this.source}, this.#hold);
    } finally {
      counters.waiting--;
      client.off('end', onEnd);
    }
  }

  async #connect(endpoint: Endpoint, signal: AbortSignal): Promise<Socket> {
    const {waiting, clock} = this.#options;
    const {connectTimeoutMs, wakeTimeoutMs} = waiting.backend;
    const retries = waiting.server.target.kind === 'app' ? retryDelaysMs : [];
    const giveUpMs = this.startedMs + wakeTimeoutMs;
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#connectOnce(endpoint, connectTimeoutMs, signal);
      } catch (error) {
        const delayMs = retries[attempt];
        const again = errorCode(error) === 'ECONNREFUSED' && delayMs !== undefined && clock.monotonicMs() + delayMs < giveUpMs;
        signal.throwIfAborted();
        if (!again) throw connectError(waiting, endpoint, error);
        if (delayMs > 0) await sleep(delayMs, undefined, {signal});
      }
    }
  }

  #connectOnce({host, port}: Endpoint, timeoutMs: number, signal: AbortSignal): Promise<Socket> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const server = connect({host, port, allowHalfOpen: true, noDelay: true, keepAlive: true});
      this.#server = server;
      const cancel = this.#options.clock.after(timeoutMs, () => {
        server.destroy(new CodedError('ERR_CONNECT_TIMEOUT', `no answer within ${timeoutMs} ms`, {source: 'server', retryable: true}));
      });
      server.once('connect', () => {
        cancel();
        server.off('error', reject);
        resolve(server);
      });
      server.once('error', reject);
      server.once('close', () => {
        cancel();
        reject(new CodedError('ERR_ABANDONED', 'The connection was given up', {source: 'client'}));
      });
    });
  }

  #join(server: Socket): void {
    const {client, clientTimeoutMs, waiting, clock, counters} = this.#options;
    const handle = this.#handle;
    handle?.busy(false);
    server.once('error', () => client.resetAndDestroy());
    server.once('close', () => {
      // After a proper end the client has still to take what is on its way to it, and to end.
      if (!server.readableEnded && !client.destroyed) client.destroy();
    });
    this.#relay = startRelay({
      client,
      server,
      clientTimeoutMs,
      serverTimeoutMs: waiting.backend.serverTimeoutMs,
      clock,
      counters,
      onBusy: (busy) => handle?.busy(busy),
      onTimeout: () => {
        counters.timeouts++;
        this.cut();
      },
    });
  }

  #refuse(error: unknown): void {
    const {client, counters, refusals, frontend, waiting} = this.#options;
    const code = errorCode(error);
    if (code === 'ERR_QUEUE_FULL') counters.refused++;
    else if (code === 'ERR_CONNECT') counters.connectFailures++;
    else counters.wakeFailures++;
    refusals.report({frontend, server: `${waiting.backend.name}/${waiting.server.name}`, reason: errorMessage(error)});
    client.resetAndDestroy();
  }
}

function connectError(waiting: Waiting, {host, port}: Endpoint, cause: unknown): CodedError<'ERR_CONNECT'> {
  return new CodedError(
    'ERR_CONNECT',
    `Cannot connect to server "${waiting.backend.name}/${waiting.server.name}" at ${showAddress(host, port)}: ${errorMessage(cause)}`,
    {
      source: 'server',
      retryable: true,
      cause,
    },
  );
}
