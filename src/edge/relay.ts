/**
 * Carries bytes between a client and its server: back-pressure and half-close kept, and inactivity judged per side, as HAProxy does:
 * what is read from a side or taken by it counts as its activity, and the side that is silent for its time-out ends the session.
 */
import type {Clock} from '../core/clock.ts';
import type {Counters} from './counters.ts';
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
  /** For a side that has ended, while the other one goes on; null: as before. */
  readonly clientFinTimeoutMs: number | null;
  readonly serverFinTimeoutMs: number | null;
  /** For both sides, once both have said something; null: as before. */
  readonly tunnelTimeoutMs: number | null;
  readonly clock: Clock;
  readonly counters: Counters;
  /** Through which the server's bytes go; null: as they come. The caller stops it. */
  readonly inspection: ServerInspection | null;
  /** Called when it changes whether the client's last bytes are unanswered. */
  readonly onBusy: (busy: boolean) => void;
  /** Called when a side was silent for too long; the caller ends the session. */
  readonly onTimeout: (side: 'client' | 'server') => void;
}

/** Longer timers do not exist in Node. */
const maxTimerMs = 2 ** 31 - 1;

/** The sockets are the caller's. */
export class Relay implements StreamReceiver {
  readonly #options: RelayOptions;
  #clientAtMs: number;
  #serverAtMs: number;
  #clientSpoke = false;
  #serverSpoke = false;
  #busy = false;
  #cancelTimer: (() => void) | null = null;

  /** Begins at once. */
  constructor(options: RelayOptions) {
    const {client, server, firstBytes, clock} = options;
    this.#options = options;
    this.#clientAtMs = clock.monotonicMs();
    this.#serverAtMs = this.#clientAtMs;
    receiveFrom(client, this);
    receiveFrom(server, this);
    // They may have been paused, when their first bytes were looked at.
    client.resume();
    server.resume();
    if (firstBytes !== null && firstBytes.length > 0) this.#fromClient(firstBytes);
    // It may have ended while the server was being connected to.
    if (client.readableEnded) server.end();
    this.#watch();
  }

  /** When bytes moved last, in either direction (Clock.monotonicMs). */
  get lastActivityMs(): number {
    return Math.max(this.#clientAtMs, this.#serverAtMs);
  }

  get isBusy(): boolean {
    return this.#busy;
  }

  /** Stops the timer. */
  stop(): void {
    this.#cancelTimer?.();
  }

  bytes(from: ByteStream, borrowed: Buffer): void {
    if (from === this.#options.client) this.#fromClient(borrowed);
    else this.#fromServer(borrowed);
  }

  ended(from: ByteStream): void {
    const {client, server, clientFinTimeoutMs, serverFinTimeoutMs, inspection} = this.#options;
    if (from === client) server.end();
    else {
      const rest = inspection?.end() ?? null;
      if (rest !== null) this.passOn(rest);
      this.#setBusy(false);
      client.end();
    }
    // A side that has ended may have less time than the timer that runs now.
    if ((from === client ? clientFinTimeoutMs : serverFinTimeoutMs) === null || client.destroyed || server.destroyed) return;
    this.stop();
    this.#watch();
  }

  drained(of: ByteStream): void {
    const {client, server, clock} = this.#options;
    if (of === client) {
      this.#clientAtMs = clock.monotonicMs();
      server.resume();
    } else {
      this.#serverAtMs = clock.monotonicMs();
      client.resume();
    }
  }

  #fromClient(chunk: Buffer): void {
    const {client, server, clock, counters} = this.#options;
    this.#clientAtMs = clock.monotonicMs();
    this.#clientSpoke = true;
    counters.bytesIn += chunk.length;
    if (!server.readableEnded) this.#setBusy(true);
    if (!server.writable) return;
    if (writeBorrowed(server, chunk)) this.#serverAtMs = this.#clientAtMs;
    else client.pause();
  }

  #fromServer(chunk: Buffer): void {
    const {clock, counters, inspection} = this.#options;
    this.#serverAtMs = clock.monotonicMs();
    this.#serverSpoke = true;
    counters.bytesOut += chunk.length;
    const passed = inspection === null ? chunk : inspection.take(chunk);
    if (passed !== null) this.passOn(passed);
  }

  /** Of the server, to the client. */
  passOn(chunk: Buffer): void {
    const {client, server} = this.#options;
    this.#setBusy(false);
    if (!client.writable) return;
    if (writeBorrowed(client, chunk)) this.#clientAtMs = this.#serverAtMs;
    else server.pause();
  }

  #setBusy(value: boolean): void {
    if (this.#busy === value) return;
    this.#busy = value;
    this.#options.onBusy(value);
  }

  /** One timer for both sides. */
  #watch(): void {
    const {client, server, clock, clientTimeoutMs, serverTimeoutMs, clientFinTimeoutMs, serverFinTimeoutMs, tunnelTimeoutMs} = this.#options;
    const nowMs = clock.monotonicMs();
    const tunnelMs = this.#clientSpoke && this.#serverSpoke ? tunnelTimeoutMs : null;
    const clientLeftMs = this.#clientAtMs + ((client.readableEnded ? clientFinTimeoutMs : null) ?? tunnelMs ?? clientTimeoutMs) - nowMs;
    const serverLeftMs = this.#serverAtMs + ((server.readableEnded ? serverFinTimeoutMs : null) ?? tunnelMs ?? serverTimeoutMs) - nowMs;
    if (clientLeftMs <= 0) this.#options.onTimeout('client');
    else if (serverLeftMs <= 0) this.#options.onTimeout('server');
    else {
      const leftMs = Math.max(1, Math.min(clientLeftMs, serverLeftMs, tunnelTimeoutMs ?? maxTimerMs, maxTimerMs));
      this.#cancelTimer = clock.after(leftMs, () => this.#watch());
    }
  }
}
