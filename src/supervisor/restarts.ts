/** Starts an app again that has ended by itself, where its configuration says so: soon at first, and later each time that it does not last. */
import type {AppConfig} from '../config/value.ts';
import type {Clock} from '../core/clock.ts';
import {BackOff} from './back-off.ts';
import {steadyMs} from './breaker.ts';
import type {ExitStatus} from './exit-status.ts';

const pauses = {firstMs: 100, limitMs: 60_000} as const;

export interface RestartsOptions {
  readonly policy: AppConfig['restart'];
  readonly clock: Clock;
  /** How long wakes are refused from now on, milliseconds. */
  readonly refusedMs: () => number;
  /** Starts the app, if it still does not run. @throws whatever prevents it, which is told elsewhere */
  readonly start: () => Promise<void>;
}

/** Whether an app that ended like this is to be started again. An end of which nothing is known counts as a failure. */
export function isRestarted(policy: AppConfig['restart'], status: ExitStatus): boolean {
  switch (policy) {
    case 'never':
      return false;
    case 'on-failure':
      return !(status.kind === 'exited' && status.code === 0);
    case 'always':
      return true;
    default:
      return policy satisfies never;
  }
}

export class Restarts {
  readonly #options: RestartsOptions;
  readonly #backOff = new BackOff(pauses);
  #cancel: (() => void) | undefined;
  #atMs = 0;
  #stopped = false;

  constructor(options: RestartsOptions) {
    this.#options = options;
  }

  /** How long until the app is started; null when it is not going to be. */
  get ms(): number | null {
    return this.#cancel === undefined ? null : Math.max(0, this.#atMs - this.#options.clock.monotonicMs());
  }

  /** @param ranMs how long it had run */
  ended(status: ExitStatus, ranMs: number): void {
    if (ranMs >= steadyMs) this.#backOff.succeeded();
    if (isRestarted(this.#options.policy, status)) this.#plan();
  }

  /** The app runs, whoever started it. */
  cancel(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Nothing is started any more. */
  stop(): void {
    this.#stopped = true;
    this.cancel();
  }

  #plan(): void {
    this.cancel();
    if (this.#stopped) return;
    const {clock, refusedMs} = this.#options;
    this.#backOff.failed();
    const ms = Math.max(this.#backOff.ms, refusedMs());
    this.#atMs = clock.monotonicMs() + ms;
    this.#cancel = clock.after(ms, () => void this.#start());
  }

  async #start(): Promise<void> {
    this.#cancel = undefined;
    try {
      await this.#options.start();
    } catch {
      this.#plan(); // Whoever starts an app says why it failed.
    }
  }
}
