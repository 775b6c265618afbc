/**
 * Whether a frontend takes clients: it has places (`maxconn`, its own and that of the process), they do not come too fast (`rate-limit
 * sessions`), and no operator has stopped it.
 */
import type {Clock} from '../core/clock.ts';
import {type Counters, countSession} from './counters.ts';
import type {SessionLimit} from './session-limit.ts';

/** A listener, as far as it can be told to stop. */
export interface Gate extends Disposable {
  /** New connections stay in the backlog. */
  pause(): void;
  /** New connections are refused. */
  refuse(): void;
  resume(): void;
}

/** `full`: clients wait in the backlog; `paused`: they are refused for a while; `stopped` does not end. */
export type AdmissionState = 'open' | 'full' | 'paused' | 'stopped';

export interface AdmissionOptions {
  readonly maxconn: number;
  /** Sessions in a second, after which clients wait in the backlog; null: any number. */
  readonly sessionRateLimit: number | null;
  readonly counters: Counters;
  readonly limit: SessionLimit;
  readonly clock: Clock;
}

export class Admission {
  readonly #counters: Counters;
  readonly #limit: SessionLimit;
  readonly #clock: Clock;
  readonly #gates: Gate[] = [];
  readonly #unwatch: () => void;
  #maxconn: number;
  readonly #rateLimit: number | null;
  #cancelRetry: (() => void) | null = null;
  #state: AdmissionState = 'full';
  #isStarted = false;

  constructor({maxconn, sessionRateLimit, counters, limit, clock}: AdmissionOptions) {
    this.#maxconn = maxconn;
    this.#rateLimit = sessionRateLimit;
    this.#counters = counters;
    this.#limit = limit;
    this.#clock = clock;
    this.#unwatch = limit.watch(() => this.#update());
  }

  get state(): AdmissionState {
    return this.#state;
  }

  get maxconn(): number {
    return this.#maxconn;
  }

  /** Clients wait in the backlog until this is called: the frontends of a configuration begin together, since one may be the other's server. */
  start(): void {
    this.#isStarted = true;
    this.#update();
  }

  /** Owned from now on. */
  add(gate: Gate): void {
    this.#gates.push(gate);
    this.#apply(gate);
  }

  /** A session begins; each one has to leave once. */
  entered(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#counters.sessions++;
    countSession(this.#counters, nowMs);
    this.#limit.entered(nowMs);
    this.#update();
  }

  left(): void {
    this.#counters.sessions--;
    this.#limit.left();
    this.#update();
  }

  /** Sessions go on when there are more than that already. */
  setMaxconn(maxconn: number): void {
    this.#maxconn = maxconn;
    this.#update();
  }

  /** Clients are refused until `resume()`. */
  pause(): void {
    if (this.#state !== 'stopped') this.#become('paused');
  }

  resume(): void {
    if (this.#state === 'paused') this.#become(this.#hasRoom() ? 'open' : 'full');
  }

  /** For good: listeners are closed. */
  stop(): void {
    this.#unwatch();
    this.#cancelRetry?.();
    this.#become('stopped');
  }

  #hasRoom(): boolean {
    return this.#isStarted && this.#counters.sessions < this.#maxconn && !this.#limit.isFull && !this.#isTooFast();
  }

  /** The next one has its turn when it would have come at that rate. */
  #isTooFast(): boolean {
    if (this.#rateLimit === null || this.#counters.sessionRate.read(this.#clock.monotonicMs()) < this.#rateLimit) return false;
    this.#cancelRetry ??= this.#clock.after(Math.max(1, 1000 / this.#rateLimit), () => {
      this.#cancelRetry = null;
      this.#update();
    });
    return true;
  }

  #update(): void {
    if (this.#state === 'open' || this.#state === 'full') this.#become(this.#hasRoom() ? 'open' : 'full');
  }

  #become(state: AdmissionState): void {
    if (state === this.#state) return;
    this.#state = state;
    for (const gate of this.#gates) this.#apply(gate);
  }

  #apply(gate: Gate): void {
    switch (this.#state) {
      case 'open':
        gate.resume();
        break;
      case 'full':
        gate.pause();
        break;
      case 'paused':
        gate.refuse();
        break;
      case 'stopped':
        gate[Symbol.dispose]();
        break;
      default:
        this.#state satisfies never;
    }
  }
}
