/** One client connection of a `mode tcp` frontend: held while its app wakes, then joined to its server. */
import {connect, type Socket} from 'node:net';
import type {Clock} from '../core/clock.ts';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import {plainAddress} from './addresses.ts';
import type {Counters} from './counters.ts';
import type {AssignedServer, Assignment, Endpoint, SessionEnd} from './pool/assignment.ts';
import type {Pool} from './pool/pool.ts';
import type {RefusalLog} from './refusal-log.ts';
import {type Relay, startRelay} from './relay.ts';

export interface TcpSessionOptions {
  readonly client: Socket;
  readonly frontend: string;
  readonly clientTimeoutMs: number;
  readonly pool: Pool;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly refusals: RefusalLog;
}

export class TcpSession {
  readonly startedMs: number;
  readonly source: string;
  /** Settles when both sockets are gone. */
  readonly closed: Promise<void>;
  readonly #options: TcpSessionOptions;
  /** Aborted when the client leaves before it is joined. */
  readonly #hold = new AbortController();
  /** The server that was chosen last. */
  #chosen: AssignedServer | null = null;
  #assignment: Assignment | null = null;
  #server: Socket | null = null;
  #relay: Relay | null = null;

  /** Takes over an accepted socket, which nobody reads yet. */
  constructor(options: TcpSessionOptions) {
    const {client, clock} = options;
    this.#options = options;
    this.startedMs = clock.monotonicMs();
    this.source = plainAddress(client.remoteAddress ?? '');
    this.closed = new Promise((resolve) => {
      client.once('close', () => {
        if (this.#relay === null) this.#hold.abort(new CodedError('ERR_ABANDONED', 'The client has left', {source: 'client'}));
        this.#relay?.stop();
        this.#release();
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
    const target = this.#chosen?.target;
    return target?.kind === 'app' ? target.app : null;
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

  /** Waits for a server, connects and joins; returns when the session is joined, or has been refused. */
  async start(): Promise<void> {
    const {signal} = this.#hold;
    try {
      const assignment = await this.#assign();
      this.#join(await this.#connect(assignment, signal), assignment);
    } catch (error) {
      if (errorCode(signal.reason) === 'ERR_ABANDONED') this.#options.counters.abandoned++;
      else this.#refuse(error);
    }
  }

  async #assign(): Promise<Assignment> {
    const {client, pool, counters} = this.#options;
    const {source} = this;
    // A client that said nothing and closes has left; one that said something may wait for its answer half-closed.
    const onEnd = (): void => void client.destroy();
    client.once('end', onEnd);
    counters.waiting++;
    try {
      const assignment = await pool.assign(
        {
          source,
          http: null,
          sample: null,
          trigger: {kind: 'connection', protocol: 'tcp', source},
          preferred: [],
          placed: (server) => {
            this.#chosen = server;
          },
        },
        this.#hold.signal,
      );
      assignment.onCut = () => this.cut();
      this.#assignment = assignment;
      return assignment;
    } finally {
      counters.waiting--;
      client.off('end', onEnd);
    }
  }

  async #connect(assignment: Assignment, signal: AbortSignal): Promise<Socket> {
    const {pool, clock} = this.#options;
    while (true) {
      const beganMs = clock.monotonicMs();
      try {
        const server = await this.#connectOnce(assignment.endpoint, pool.config.connectTimeoutMs, signal);
        assignment.connected(clock.monotonicMs() - beganMs);
        return server;
      } catch (error) {
        await assignment.retry(error, signal);
      }
    }
  }

  #connectOnce({host, port, path}: Endpoint, timeoutMs: number, signal: AbortSignal): Promise<Socket> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const server = connect({...(path === null ? {host, port} : {path}), allowHalfOpen: true, noDelay: true, keepAlive: true});
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

  #join(server: Socket, assignment: Assignment): void {
    const {client, clientTimeoutMs, pool, clock, counters} = this.#options;
    assignment.busy(false);
    server.once('error', () => client.resetAndDestroy());
    server.once('close', () => {
      // After a proper end the client has still to take what is on its way to it, and to end.
      if (!server.readableEnded && !client.destroyed) client.destroy();
    });
    this.#relay = startRelay({
      client,
      server,
      clientTimeoutMs,
      serverTimeoutMs: pool.config.serverTimeoutMs,
      clock,
      counters,
      onBusy: (busy) => assignment.busy(busy),
      onTimeout: () => {
        counters.timeouts++;
        this.cut();
      },
    });
  }

  #release(): void {
    const end: SessionEnd = {outcome: 'done', bytesIn: this.#options.client.bytesRead, bytesOut: this.#options.client.bytesWritten, responseMs: null};
    this.#assignment?.release(end);
  }

  #refuse(error: unknown): void {
    const {client, counters, refusals, frontend, pool} = this.#options;
    const code = errorCode(error);
    if (code === 'ERR_QUEUE_FULL') counters.refused++;
    else if (code === 'ERR_CONNECT') counters.connectFailures++;
    else counters.wakeFailures++;
    refusals.report({frontend, server: `${pool.name}/${this.#chosen?.name ?? '<NOSRV>'}`, reason: errorMessage(error)});
    client.resetAndDestroy();
  }
}
