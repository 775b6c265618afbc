/**
 * Carries bytes between a client and its server: back-pressure and half-close kept, and inactivity judged per side, as HAProxy does:
 * what is read from a side or taken by it counts as its activity, and the side that is silent for its time-out ends the session.
 */
import type {Clock} from '../core/clock.ts';
import type {Counters} from './counters.ts';
import type {ByteStream} from './streams/byte-stream.ts';
import {takeBytes, writeBorrowed} from './streams/node-socket.ts';

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
  /** Called when it changes whether the client's last bytes are unanswered. */
  readonly onBusy: (busy: boolean) => void;
  /** Called when a side was silent for too long; the caller ends the session. */
  readonly onTimeout: (side: 'client' | 'server') => void;
}

export interface Relay {
  /** When bytes moved last, in either direction (Clock.monotonicMs). */
  lastActivityMs(): number;
  isBusy(): boolean;
  /** Stops the timer. The sockets are the caller's. */
  stop(): void;
}

export function startRelay(options: RelayOptions): Relay {
  const {client, server, clock, counters} = options;
  let clientAtMs = clock.monotonicMs();
  let serverAtMs = clientAtMs;
  let clientSpoke = false;
  let serverSpoke = false;
  let busy = false;

  const setBusy = (value: boolean): void => {
    if (busy === value) return;
    busy = value;
    options.onBusy(value);
  };
  const fromClient = (chunk: Buffer): void => {
    clientAtMs = clock.monotonicMs();
    clientSpoke = true;
    counters.bytesIn += chunk.length;
    if (!server.readableEnded) setBusy(true);
    if (!server.writable) return;
    if (writeBorrowed(server, chunk)) serverAtMs = clientAtMs;
    else client.pause();
  };

  // They may have been paused, when their first bytes were looked at.
  client.resume();
  server.resume();
  if (options.firstBytes !== null && options.firstBytes.length > 0) fromClient(options.firstBytes);
  takeBytes(client, fromClient);
  const fromServer = (chunk: Buffer): void => {
    serverAtMs = clock.monotonicMs();
    serverSpoke = true;
    counters.bytesOut += chunk.length;
    setBusy(false);
    if (!client.writable) return;
    if (writeBorrowed(client, chunk)) clientAtMs = serverAtMs;
    else server.pause();
  };
  takeBytes(server, fromServer);
  server.on('drain', () => {
    serverAtMs = clock.monotonicMs();
    client.resume();
  });
  client.on('drain', () => {
    clientAtMs = clock.monotonicMs();
    server.resume();
  });
  // It may have ended while the server was being connected to.
  if (client.readableEnded) server.end();
  else client.on('end', () => server.end());
  server.on('end', () => {
    setBusy(false);
    client.end();
  });

  const stop = watchSilence(options, () => ({clientAtMs, serverAtMs, established: clientSpoke && serverSpoke}));
  return {
    lastActivityMs: () => Math.max(clientAtMs, serverAtMs),
    isBusy: () => busy,
    stop,
  };
}

interface Activity {
  readonly clientAtMs: number;
  readonly serverAtMs: number;
  /** Both sides have said something. */
  readonly established: boolean;
}

/** One timer for both sides. Returns what stops it. */
function watchSilence(options: RelayOptions, activity: () => Activity): () => void {
  const {client, server, clock, clientTimeoutMs, serverTimeoutMs, clientFinTimeoutMs, serverFinTimeoutMs, tunnelTimeoutMs} = options;
  let cancel: () => void = () => undefined;
  const watch = (): void => {
    const nowMs = clock.monotonicMs();
    const {clientAtMs, serverAtMs, established} = activity();
    const tunnelMs = established ? tunnelTimeoutMs : null;
    const clientLeftMs = clientAtMs + ((client.readableEnded ? clientFinTimeoutMs : null) ?? tunnelMs ?? clientTimeoutMs) - nowMs;
    const serverLeftMs = serverAtMs + ((server.readableEnded ? serverFinTimeoutMs : null) ?? tunnelMs ?? serverTimeoutMs) - nowMs;
    if (clientLeftMs <= 0) options.onTimeout('client');
    else if (serverLeftMs <= 0) options.onTimeout('server');
    else cancel = clock.after(Math.max(1, Math.min(clientLeftMs, serverLeftMs, tunnelTimeoutMs ?? maxTimerMs, maxTimerMs)), watch);
  };
  // A side that has ended may have less time than the timer that runs now.
  const watchAnew = (): void => {
    cancel();
    watch();
  };
  if (clientFinTimeoutMs !== null) client.once('end', watchAnew);
  if (serverFinTimeoutMs !== null) server.once('end', watchAnew);
  watch();
  return () => cancel();
}

/** Longer timers do not exist in Node. */
const maxTimerMs = 2 ** 31 - 1;
