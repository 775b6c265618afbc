import type {Clock} from '../core/clock.ts';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import type {Generation} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {AppStatus, Failure, HibernateRecord, Records, WakeRecord} from './app-status.ts';
import type {Paging} from './instance.ts';

type Facts = Pick<AppStatus, 'lastWake' | 'lastHibernate' | 'lastError'>;

export interface HistoryOptions extends Pick<Facts, 'lastWake' | 'lastHibernate'> {
  readonly records: Records;
  readonly clock: Clock;
  readonly log: Log;
}

/** What happened to an app last, and the events and log lines that tell of it. */
export class History {
  readonly #options: HistoryOptions;
  #facts: Facts;
  #lastFailure: Failure | null = null;

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#facts = {lastWake: options.lastWake, lastHibernate: options.lastHibernate, lastError: null};
  }

  get facts(): Facts {
    return this.#facts;
  }

  get lastFailure(): Failure | null {
    return this.#lastFailure;
  }

  failed(error: unknown): void {
    const message = errorMessage(error);
    const at = this.#options.clock.nowMs();
    const {source, retryable} = error instanceof CodedError ? error : {source: 'bug' as const, retryable: false};
    this.#facts = {...this.#facts, lastError: {at, message}};
    this.#lastFailure = {at, code: errorCode(error) ?? null, message, source, retryable};
    this.#options.log.error({error: message}, 'failed');
    this.#options.records.event('error', {message});
  }

  /** @param cold it was started from its files, not restored */
  woke(wake: WakeRecord, cold: boolean): void {
    this.#facts = {...this.#facts, lastWake: wake};
    this.#options.records.event('woken', {...wake, cold: cold ? 1 : 0});
  }

  /** The pages of the run that the last wake began, when it ends. */
  counted({faults}: Paging): void {
    const {lastWake} = this.#facts;
    if (lastWake !== null) this.#facts = {...this.#facts, lastWake: {...lastWake, faults}};
  }

  slept(hibernation: HibernateRecord): void {
    this.#facts = {...this.#facts, lastHibernate: hibernation};
  }

  /** To be told when the sleep is complete. */
  announceSleep(generation: Generation): void {
    if (this.#facts.lastHibernate !== null) this.#options.records.event('hibernated', {...this.#facts.lastHibernate, generation});
  }
}
