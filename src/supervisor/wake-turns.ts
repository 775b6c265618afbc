/**
 * How many apps are woken at the same time. Each wake keeps a processor busy for most of its time, so that fifty at once would all be ready at
 * the end; a few at a time are ready one after the other, and the last of them no later. A wake that takes longer waits for something else (the
 * remote store, an app that starts slowly), and keeps nobody waiting for it.
 */
import {availableParallelism} from 'node:os';
import type {Clock} from '../core/clock.ts';

/** Part of a wake is waiting. */
const usualAtATime = 2 * availableParallelism();
/** On a machine that is not busy, a wake takes less. */
const usualTurnMs = 150;

export interface WakeTurnsOptions {
  readonly clock: Clock;
  readonly atATime?: number;
  /** How long a wake counts, at most. */
  readonly turnMs?: number;
}

export class WakeTurns {
  readonly #clock: Clock;
  readonly #atATime: number;
  readonly #turnMs: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor({clock, atATime = usualAtATime, turnMs = usualTurnMs}: WakeTurnsOptions) {
    [this.#clock, this.#atATime, this.#turnMs] = [clock, atATime, turnMs];
  }

  /** Resolves when it is the caller's turn, in the order of the calls. Disposing ends the turn. */
  async take(): Promise<Disposable> {
    if (this.#taken >= this.#atATime) await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    else this.#taken++;
    let isOver = false;
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      const next = this.#waiting.shift();
      if (next === undefined) this.#taken--;
      else next();
    };
    const cancel = this.#clock.after(this.#turnMs, end);
    return {
      [Symbol.dispose]() {
        cancel();
        end();
      },
    };
  }
}
