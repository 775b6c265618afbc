/** What is asked of a server again and again, one question at a time, but not while the server is an app that sleeps. */

import type {Clock} from '../../core/clock.ts';
import type {AppName} from '../../core/ids.ts';
import type {CheckedServer} from './checked-server.ts';

export interface RecurringQuestionOptions {
  readonly server: Pick<CheckedServer, 'target' | 'assumeUp'>;
  readonly clock: Clock;
  /** Asks, and says when to ask again. */
  readonly ask: () => Promise<void>;
  /** None is asked any more once it is aborted. */
  readonly signal: AbortSignal;
}

export class RecurringQuestion {
  readonly #options: RecurringQuestionOptions;
  #isRunning = false;
  #dueMs: number | null = null;
  #cancelNext: () => void = () => undefined;
  #current = new AbortController();
  #hasEnded = false;

  constructor(options: RecurringQuestionOptions) {
    this.#options = options;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** When the next one comes (Clock.monotonicMs); null: none is planned. */
  get dueMs(): number | null {
    return this.#dueMs;
  }

  start(delayMs: number): void {
    this.#cancelNext();
    const {clock, ask, signal} = this.#options;
    if (signal.aborted || this.#hasEnded) return;
    this.#dueMs = clock.monotonicMs() + delayMs;
    this.#cancelNext = clock.after(delayMs, () => {
      this.#dueMs = null;
      void ask();
    });
  }

  stop(): void {
    this.#cancelNext();
    this.#dueMs = null;
    this.giveUp();
  }

  /** For good. */
  end(): void {
    this.#hasEnded = true;
    this.stop();
  }

  appChanged(app: AppName, awake: boolean): void {
    const {server} = this.#options;
    const {target} = server;
    if (target.kind !== 'app' || target.app !== app) return;
    if (awake) {
      if (!this.#isRunning) this.start(0);
      return;
    }
    this.stop();
    server.assumeUp();
  }

  /** The answer to the question that is out counts no more. */
  giveUp(reason?: Error): void {
    this.#current.abort(reason);
  }

  /** @returns the signal that `question` was given: aborted when it was given up, which is no failure */
  async run(question: (signal: AbortSignal) => Promise<void>): Promise<AbortSignal> {
    this.#isRunning = true;
    this.#current = new AbortController();
    const {signal} = this.#current;
    try {
      await question(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#isRunning = false;
    }
    return signal;
  }
}
