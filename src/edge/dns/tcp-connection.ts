/**
 * One connection of a client that asks over TCP (RFC 7766): questions one after the other without waiting, answers in the order in which they are ready.
 * It is closed when no whole question came for the idle time; a slow trickle of bytes counts as nothing.
 */
import type {Clock} from '../../core/clock.ts';
import {plainAddress} from '../addresses.ts';
import type {Counters} from '../counters.ts';
import {nextConnectionId} from '../numbers.ts';
import type {ByteStream} from '../streams/byte-stream.ts';
import {frame, readFrames} from './frames.ts';
import type {Responder} from './responder.ts';

export interface TcpConnectionOptions {
  readonly client: ByteStream;
  readonly responder: Responder;
  readonly idleTimeoutMs: number;
  readonly clock: Clock;
  readonly counters: Counters;
  /** Called once. */
  readonly onClosed: () => void;
}

/** Questions of one connection that wait for others; more are not read meanwhile. */
const maxOutstanding = 32;

export class DnsTcpConnection {
  readonly id = nextConnectionId();
  readonly source: string;
  readonly sourcePort: number;
  readonly startedMs: number;
  lastActivityMs: number;
  readonly #options: TcpConnectionOptions;
  #outstanding = 0;
  #clientEnded = false;
  #finishing = false;
  #hasAsked = false;
  #cancelIdle: () => void = () => undefined;

  constructor(options: TcpConnectionOptions) {
    const {client, clock, counters} = options;
    this.#options = options;
    this.source = plainAddress(client.remoteAddress ?? '');
    this.sourcePort = client.remotePort ?? 0;
    this.startedMs = clock.monotonicMs();
    this.lastActivityMs = this.startedMs;
    const arrival = {protocol: 'tcp', source: this.source, address: plainAddress(client.localAddress ?? ''), port: client.localPort ?? 0} as const;
    const frames = readFrames((message) => this.#take(options.responder.respond(message, arrival)));
    client.on('data', (chunk) => {
      counters.bytesIn += chunk.length;
      frames(chunk);
      this.#endIfDone();
    });
    client.on('end', () => {
      this.#clientEnded = true;
      this.#endIfDone();
    });
    client.on('drain', () => this.#readOn());
    client.on('error', () => {
      // It is closed then, which is all there is to do.
    });
    client.on('close', () => {
      this.#cancelIdle();
      options.onClosed();
    });
    this.#watchIdle();
  }

  get isBusy(): boolean {
    return this.#outstanding > 0;
  }

  /** Ends the connection when what was asked is answered. Who has only just come, and asked nothing yet, may do so until the idle time is over. */
  finish(): void {
    this.#finishing = true;
    this.#endIfDone();
  }

  cut(): void {
    this.#options.client.destroy();
  }

  /** @returns whether more is to be read */
  #take(answer: Buffer | null | Promise<Buffer | null>): boolean {
    this.#watchIdle();
    this.#hasAsked = true;
    if (!(answer instanceof Promise)) return this.#send(answer);
    this.#outstanding++;
    if (this.#outstanding >= maxOutstanding) this.#options.client.pause();
    void answer.then((ready) => {
      this.#outstanding--;
      this.#send(ready);
      this.#readOn();
      this.#endIfDone();
    });
    return true;
  }

  /** Who sends what is no question to a stream is not spoken with any more. */
  #send(answer: Buffer | null): boolean {
    const {client, counters} = this.#options;
    if (client.destroyed) return false;
    if (answer === null) {
      client.destroy();
      return false;
    }
    counters.bytesOut += answer.length;
    if (!client.write(frame(answer))) client.pause();
    return true;
  }

  #readOn(): void {
    const {client} = this.#options;
    if (this.#outstanding < maxOutstanding && !client.writableNeedDrain) client.resume();
  }

  #endIfDone(): void {
    const isOver = this.#clientEnded || (this.#finishing && this.#hasAsked);
    if (this.#outstanding === 0 && isOver) this.#options.client.destroySoon();
  }

  #watchIdle(): void {
    const {clock, idleTimeoutMs, client, counters} = this.#options;
    this.lastActivityMs = clock.monotonicMs();
    this.#cancelIdle();
    this.#cancelIdle = clock.after(idleTimeoutMs, () => {
      counters.timeouts++;
      client.destroy();
    });
  }
}
