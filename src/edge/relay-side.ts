/** One of the two connections of a relay: when it is silent for too long, and how it ends. */
import type {ByteStream} from './streams/byte-stream.ts';

export interface SideTimeouts {
  readonly timeoutMs: number;
  /** Once it was told that the other side has ended; null: as before. */
  readonly finTimeoutMs: number | null;
  readonly nowMs: number;
}

export class RelaySide {
  readonly #stream: ByteStream;
  readonly #finTimeoutMs: number | null;
  #timeoutMs: number;
  /** The other side takes no more for now. */
  #isPaused = false;
  /** It was told that the other side has ended. */
  #isTold = false;
  /** What it had not taken when that was looked at last. */
  #untakenBytes = 0;
  /** Nothing that it says counts any more. */
  isSilenced = false;
  /** When it said or took something (Clock.monotonicMs). */
  lastMs: number;

  constructor(stream: ByteStream, {timeoutMs, finTimeoutMs, nowMs}: SideTimeouts) {
    this.#stream = stream;
    this.#timeoutMs = timeoutMs;
    this.#finTimeoutMs = finTimeoutMs;
    this.lastMs = nowMs;
  }

  pause(): void {
    this.#isPaused = true;
    this.#stream.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (!this.isSilenced) this.#stream.resume();
  }

  /** It was asked for nothing, and has said nothing, for its time. */
  isSilent(nowMs: number): boolean {
    return this.#isHeard && nowMs >= this.lastMs + this.#timeoutMs;
  }

  /** It has taken nothing of what waits for it for its time. */
  isStuck(nowMs: number): boolean {
    return this.#isTaking(nowMs) && nowMs >= this.lastMs + this.#timeoutMs;
  }

  /** When it may be one of both; Infinity: never. */
  dueMs(nowMs: number): number {
    return this.#isHeard || this.#isTaking(nowMs) ? this.lastMs + this.#timeoutMs : Infinity;
  }

  get #isHeard(): boolean {
    return !this.isSilenced && !this.#isPaused && !this.#stream.readableEnded && !this.#stream.destroyed;
  }

  #isTaking(nowMs: number): boolean {
    const {writableLength, destroyed} = this.#stream;
    if (writableLength === 0 || destroyed) return false;
    if (writableLength < this.#untakenBytes) this.lastMs = nowMs;
    this.#untakenBytes = writableLength;
    return true;
  }

  /** Nothing more is read of it. */
  silence(): void {
    this.isSilenced = true;
    this.#stream.pause();
    if (this.#isTold) this.#stream.destroySoon();
  }

  /** It hears that the other side has ended, after what that one has said. */
  end(nowMs: number): void {
    if (this.#isTold) return;
    this.#isTold = true;
    if (this.isSilenced) this.#stream.destroySoon();
    else this.#stream.end();
    if (this.#finTimeoutMs === null) return;
    this.#timeoutMs = this.#finTimeoutMs;
    this.lastMs = nowMs;
  }

  /** Without ceremony, since what was said to it is lost. */
  cut(): void {
    this.silence();
    this.#isTold = true;
    this.#stream.resetAndDestroy();
  }
}
