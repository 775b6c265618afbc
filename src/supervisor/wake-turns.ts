/**
 * How many apps are woken at the same time. Each wake keeps a processor busy for most of its time, so that a hundred at once would all be ready at
 * the end, and what is awake would hardly run meanwhile; as many as there are processors are ready one after the other, and the last of them no later.
 * A wake that waits for something else (the remote store, an app that starts slowly) keeps nobody waiting for it: a processor is idle then.
 */
import {availableParallelism} from 'node:os';
import type {Clock} from '../core/clock.ts';
import {processorsIdleMs} from '../core/processor-time.ts';

/** On a machine that is not busy, a wake takes less. */
const usualLookMs = 100;
/** Of the time of one processor, between two looks. */
const idleShare = 0.5;
/** Whatever else keeps the processors busy. */
const usualMostMs = 2000;

export interface WakeTurnsOptions {
  readonly clock: Clock;
  readonly atATime?: number;
  /** How long a wake takes before it is looked whether it waits, and between two looks. */
  readonly lookMs?: number;
  /** How long a wake counts, at most. */
  readonly mostMs?: number;
  /** How long processors have been idle, the sum of all of them. */
  readonly idleMs?: () => number;
}

export class WakeTurns {
  readonly #options: Required<WakeTurnsOptions>;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(options: WakeTurnsOptions) {
    this.#options = {atATime: availableParallelism(), lookMs: usualLookMs, mostMs: usualMostMs, idleMs: processorsIdleMs, ...options};
  }

  /** Resolves when it is the caller's turn, in the order of the calls. Disposing ends the turn. */
  async take(): Promise<Disposable> {
    if (this.#taken >= this.#options.atATime) await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    else this.#taken++;
    const turn = new DisposableStack();
    turn.defer(() => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#taken--;
      else next();
    });
    turn.defer(this.#endWhenIdle(() => turn.dispose()));
    return turn;
  }

  /** @returns a function that stops looking */
  #endWhenIdle(end: () => void): () => void {
    const {clock, lookMs, mostMs, idleMs} = this.#options;
    const untilMs = clock.monotonicMs() + mostMs;
    const look = (beforeMs: number): (() => void) =>
      clock.after(lookMs, () => {
        const nowMs = idleMs();
        if (nowMs - beforeMs >= lookMs * idleShare || clock.monotonicMs() >= untilMs) end();
        else cancel = look(nowMs);
      });
    let cancel = look(Number.POSITIVE_INFINITY);
    return () => cancel();
  }
}
