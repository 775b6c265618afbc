import type {FrontendConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import {plainAddress} from '../addresses.ts';
import {type Counters, countConnection, countSession} from '../counters.ts';
import type {Frontend} from '../frontend.ts';
import type {ByteStream} from '../streams/byte-stream.ts';
import type {TcpListener} from '../tcp-listener.ts';
import type {Responder} from './responder.ts';
import {DnsTcpConnection} from './tcp-connection.ts';

/** RFC 7766, 6.2.3: seconds; clients open another connection when they need one. */
const maxIdleMs = 10_000;
/** Of one source address: an open connection costs us more than the client. */
const maxPerSource = 64;

/** The TCP connections of a frontend, at most `maxconn` of them; more clients wait in the backlog. */
export class ConnectionTable {
  readonly drained: Promise<void>;
  readonly #options: {readonly config: FrontendConfig; readonly responder: Responder; readonly clock: Clock; readonly counters: Counters};
  readonly #listeners: TcpListener[] = [];
  readonly #connections = new Set<DnsTcpConnection>();
  readonly #perSource = new Map<string, number>();
  readonly #settleDrained: () => void;
  #stopped = false;

  constructor(options: {readonly config: FrontendConfig; readonly responder: Responder; readonly clock: Clock; readonly counters: Counters}) {
    this.#options = options;
    const {promise, resolve} = Promise.withResolvers<void>();
    this.drained = promise;
    this.#settleDrained = resolve;
  }

  add(listener: TcpListener): void {
    this.#listeners.push(listener);
    if (this.#connections.size >= this.#options.config.maxconn) listener.pause();
  }

  admit(client: ByteStream): void {
    const {config, responder, clock, counters} = this.#options;
    const source = plainAddress(client.remoteAddress ?? '');
    const open = this.#perSource.get(source) ?? 0;
    if (open >= maxPerSource) {
      counters.refused++;
      client.resetAndDestroy();
      return;
    }
    countConnection(counters, clock.monotonicMs());
    this.#perSource.set(source, open + 1);
    const connection = new DnsTcpConnection({
      client,
      responder,
      idleTimeoutMs: Math.min(config.clientTimeoutMs, maxIdleMs),
      clock,
      counters,
      onClosed: () => this.#forget(connection, source),
    });
    this.#connections.add(connection);
    counters.sessions = this.#connections.size;
    countSession(counters, connection.startedMs);
    if (this.#connections.size >= config.maxconn) for (const listener of this.#listeners) listener.pause();
  }

  *list(): ReturnType<Frontend['sessions']> {
    const common = {frontend: this.#options.config.name, protocol: 'tcp', backend: null, server: null, app: null} as const;
    for (const connection of this.#connections) {
      const {id, source, sourcePort, startedMs, lastActivityMs, isBusy} = connection;
      yield {...common, id, source, sourcePort, startedMs, lastActivityMs, busy: isBusy, cut: () => connection.cut()};
    }
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const listener of this.#listeners) listener[Symbol.dispose]();
    for (const connection of this.#connections) connection.finish();
    this.#settleIfDone();
  }

  cut(): void {
    for (const connection of this.#connections) connection.cut();
  }

  #forget(connection: DnsTcpConnection, source: string): void {
    const {config, counters} = this.#options;
    this.#connections.delete(connection);
    counters.sessions = this.#connections.size;
    const left = (this.#perSource.get(source) ?? 1) - 1;
    if (left === 0) this.#perSource.delete(source);
    else this.#perSource.set(source, left);
    if (!this.#stopped && this.#connections.size < config.maxconn) for (const listener of this.#listeners) listener.resume();
    this.#settleIfDone();
  }

  #settleIfDone(): void {
    if (this.#stopped && this.#connections.size === 0) this.#settleDrained();
  }
}
