/**
 * Carries bytes between a client and its server: back-pressure and half-close kept, and inactivity judged as HAProxy does. What a side says
 * or takes counts as its activity. A side that is silent for too long is read no more: the other one hears that it has ended, and may go on;
 * a side that takes nothing of what waits for it is gone.
 */
import type {Clock} from '../core/clock.ts';
import type {Counters} from './counters.ts';
import {RelaySide} from './relay-side.ts';
import type {ByteStream, StreamReceiver} from './streams/byte-stream.ts';
import {receiveFrom, writeBorrowed} from './streams/node-socket.ts';

/** What is null is withheld, or for ever lost. */
export interface ServerInspection {
  take(borrowed: Buffer): Buffer | null;
  end(): Buffer | null;
}

export interface RelayOptions {
  readonly client: ByteStream;
  readonly server: ByteStream;
  /** Of the client, read already. */
  readonly firstBytes: Buffer | null;
  readonly clientTimeoutMs: number;
  readonly serverTimeoutMs: number;
  /** For a side that was told of the other one's end; null: as before. */
  readonly clientFinTimeoutMs: number | null;
  readonly serverFinTimeoutMs: number | null;
  readonly clock: Clock;
  readonly counters: Counters;
  /** Through which the server's bytes go; null: as they come. The caller stops it. */
  readonly inspection: ServerInspection | null;
  /** Called when it changes whether the client's last bytes are unanswered. */
  readonly onBusy: (busy: boolean) => void;
  /** Called the first time that a side was silent for too long. */
  readonly onTimeout: (side: 'client' | 'server') => void;
}

/** Longer timers do not exist in Node. */
const maxTimerMs = 2 ** 31 - 1;

/** The sockets are the caller's. */
export class Relay implements StreamReceiver {
  readonly #options: RelayOptions;
  readonly #client: RelaySide;
  readonly #server: RelaySide;
  #busy = false;
  /** What each has said so far. */
  bytesFromClient = 0;
  bytesFromServer = 0;
  #cancelTimer: (() => void) | null = null;

  /** Begins at once. */
  constructor(options: RelayOptions) {
    const {client, server, firstBytes, clock} = options;
    const nowMs = clock.monotonicMs();
    this.#options = options;
    this.#client = new RelaySide(client, {timeoutMs: options.clientTimeoutMs, finTimeoutMs: options.clientFinTimeoutMs, nowMs});
    this.#server = new RelaySide(server, {timeoutMs: options.serverTimeoutMs, finTimeoutMs: options.serverFinTimeoutMs, nowMs});
    receiveFrom(client, this);
    receiveFrom(server, this);
    // They may have been paused, when their first bytes were looked at.
    client.resume();
    server.resume();
    if (firstBytes !== null && firstBytes.length > 0) this.#fromClient(firstBytes);
    // It may have ended while the server was being connected to.
    if (client.readableEnded) this.#server.end(nowMs);
    this.#watch();
  }

  /** When bytes moved last, in either direction (Clock.monotonicMs). */
  get lastActivityMs(): number {
    return Math.max(this.#client.lastMs, this.#server.lastMs);
  }

  get isBusy(): boolean {
    return this.#busy;
  }

  /** Stops the timer. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  bytes(from: ByteStream, borrowed: Buffer): void {
    if (from === this.#options.client) this.#fromClient(borrowed);
    else this.#fromServer(borrowed);
  }

  ended(from: ByteStream): void {
    const {client, clock} = this.#options;
    const nowMs = clock.monotonicMs();
    if (from === client) this.#server.end(nowMs);
    else this.#serverSaysNoMore(nowMs);
    // Who was told may have less time than the timer that runs now.
    if (this.#cancelTimer === null) return;
    this.stop();
    this.#watch();
  }

  drained(of: ByteStream): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#client.lastMs = nowMs;
    this.#server.lastMs = nowMs;
    if (of === this.#options.client) this.#server.resume();
    else this.#client.resume();
  }

  #fromClient(chunk: Buffer): void {
    const {server, clock, counters} = this.#options;
    if (this.#client.isSilenced) return;
    const nowMs = clock.monotonicMs();
    this.#client.lastMs = nowMs;
    this.bytesFromClient += chunk.length;
    counters.bytesIn += chunk.length;
    if (!server.readableEnded) this.#setBusy(true);
    if (!server.writable) return;
    this.#server.lastMs = nowMs;
    if (!writeBorrowed(server, chunk)) this.#client.pause();
  }

  #fromServer(chunk: Buffer): void {
    const {clock, counters, inspection} = this.#options;
    if (this.#server.isSilenced) return;
    this.#server.lastMs = clock.monotonicMs();
    this.bytesFromServer += chunk.length;
    counters.bytesOut += chunk.length;
    const passed = inspection === null ? chunk : inspection.take(chunk);
    if (passed !== null) this.passOn(passed);
  }

  /** Of the server, to the client. */
  passOn(chunk: Buffer): void {
    const {client} = this.#options;
    this.#setBusy(false);
    if (!client.writable) return;
    this.#client.lastMs = this.#server.lastMs;
    if (!writeBorrowed(client, chunk)) this.#server.pause();
  }

  #serverSaysNoMore(nowMs: number): void {
    const rest = this.#options.inspection?.end() ?? null;
    if (rest !== null) this.passOn(rest);
    this.#setBusy(false);
    this.#client.end(nowMs);
  }

  #setBusy(value: boolean): void {
    if (this.#busy === value) return;
    this.#busy = value;
    this.#options.onBusy(value);
  }

  /** One timer for both sides. */
  #watch(): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#judge(nowMs);
    const dueMs = Math.min(this.#client.dueMs(nowMs), this.#server.dueMs(nowMs));
    this.#cancelTimer = dueMs === Infinity ? null : this.#options.clock.after(Math.min(Math.max(1, dueMs - nowMs), maxTimerMs), () => this.#watch());
  }

  /** Of several at once, the one that HAProxy names is told. */
  #judge(nowMs: number): void {
    const [client, server] = [this.#client, this.#server];
    const [isClientSilent, isServerSilent] = [client.isSilent(nowMs), server.isSilent(nowMs)];
    const [isClientStuck, isServerStuck] = [client.isStuck(nowMs), server.isStuck(nowMs)];
    if (!isClientSilent && !isServerSilent && !isClientStuck && !isServerStuck) return;
    if (!client.isSilenced && !server.isSilenced) this.#options.onTimeout(isClientSilent || !(isServerStuck || isServerSilent) ? 'client' : 'server');
    if (isServerStuck) server.cut();
    if (isClientStuck) client.cut();
    if (isClientSilent || isServerStuck) client.silence();
    if (isServerSilent || isClientStuck) server.silence();
    if (client.isSilenced) server.end(nowMs);
    if (isServerSilent || isServerStuck) this.#serverSaysNoMore(nowMs);
  }
}
