import type {Clock} from '../core/clock.ts';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import type {Generation} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Trigger} from '../core/trigger.ts';
import type {AppStatus, Fallback, HibernateRecord, LiveStatus, Records, WakeRecord} from './app-status.ts';
import {describeExit, type ExitStatus, exitFields} from './exit-status.ts';
import type {Paging} from './instance.ts';

/** What is kept in the record of the app. */
type Facts = Pick<AppStatus, 'lastWake' | 'lastHibernate' | 'lastError' | 'lastExit'>;
/** What is known since the gateway started. */
type Told = Pick<LiveStatus, 'lastFailure' | 'fallback'>;

export interface WakeManner {
  readonly by: Trigger['kind'];
  /** It was started from its files, not restored. */
  readonly cold: boolean;
  /** From the beginning of the wake until the pager knew of it, milliseconds. */
  readonly pagesFromMs: number;
  /** Of the request that woke it. */
  readonly traceparent: string | undefined;
}

export interface HistoryOptions extends Facts {
  readonly records: Records;
  readonly clock: Clock;
  readonly log: Log;
}

/** What failed: a wake from its checkpoint or from its files, putting it to sleep, or an instance that ran. */
export type Failed = 'restore' | 'start' | 'checkpoint' | 'instance';

/** What happened to an app last, and the events and log lines that tell of it. */
export class History {
  readonly #options: HistoryOptions;
  #facts: Facts;
  #told: Told = {lastFailure: null, fallback: null};

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#facts = factsIn(options);
  }

  get facts(): Facts & Pick<AppStatus, 'lastFailure'> {
    return {...this.#facts, lastFailure: this.#told.lastFailure};
  }

  get told(): Told & Pick<Facts, 'lastExit'> {
    return {...this.#told, lastExit: this.#facts.lastExit};
  }

  /** Another worker has had the app meanwhile, and recorded this. */
  caughtUp(recorded: Facts): void {
    this.#facts = factsIn(recorded);
  }

  /** Of falling asleep and waking, as it was the last time. */
  get costMs(): number {
    return (this.#facts.lastWake?.ms ?? 0) + (this.#facts.lastHibernate?.ms ?? 0);
  }

  /** @param of more for the event */
  failed(what: Failed, error: unknown, of: Readonly<Record<string, string | number | undefined>> = {}): void {
    const message = errorMessage(error);
    const at = this.#options.clock.nowMs();
    const {source, retryable} = error instanceof CodedError ? error : {source: 'bug' as const, retryable: false};
    this.#facts = {...this.#facts, lastError: {at, message}};
    this.#told = {...this.#told, lastFailure: {at, code: errorCode(error) ?? null, message, source, retryable}};
    this.#options.log.error({what, error: message}, 'failed');
    this.#options.records.event('error', {what, message, ...known(of)});
  }

  woke(wake: WakeRecord, {cold, ...how}: WakeManner): void {
    this.#facts = {...this.#facts, lastWake: wake};
    const {phases, ...plain} = wake;
    const {pagesMs, criuMs, ...always} = phases ?? {};
    const times = known({...always, pagesMs: pagesMs ?? undefined, criuMs: criuMs ?? undefined, ...how});
    this.#options.records.event('woken', {...plain, ...times, cold: cold ? 1 : 0});
  }

  /** The predicted pages of the last wake were there after it. */
  paged(ms: number): void {
    const {lastWake} = this.#facts;
    if (lastWake?.phases === undefined) return;
    this.#facts = {...this.#facts, lastWake: {...lastWake, phases: {...lastWake.phases, pagesMs: ms}}};
    this.#options.records.event('paged', {ms, pages: lastWake.predictedPages});
  }

  /** The newest checkpoint was passed over; that is remembered until there is a newer one. */
  fellBack(fallback: Fallback): void {
    const {kind, newest, generation, reason} = fallback;
    this.#told = {...this.#told, fallback: {...fallback, at: this.#options.clock.nowMs()}};
    this.#options.log.error({error: reason, newest, instead: generation ?? kind}, 'the newest checkpoint could not be restored; it is kept');
    this.#options.records.event('fallback', {to: kind, newest, ...(generation === null ? {} : {generation}), reason});
  }

  /** The app ended by itself. */
  exited(status: ExitStatus): void {
    const how = describeExit(status);
    this.#facts = {...this.#facts, lastExit: {...status, at: this.#options.clock.nowMs()}};
    this.#options.log.warn({status: how}, 'the app ended by itself');
    this.#options.records.event('died', {status: how, ...exitFields(status)});
  }

  /** The pages of the run that the last wake began, when it ends. */
  counted({faults}: Paging): void {
    const {lastWake} = this.#facts;
    if (lastWake !== null) this.#facts = {...this.#facts, lastWake: {...lastWake, faults}};
  }

  slept(hibernation: HibernateRecord): void {
    this.#facts = {...this.#facts, lastHibernate: hibernation};
    this.#told = {...this.#told, fallback: null};
  }

  /** To be told when the sleep is complete. */
  announceSleep(generation: Generation): void {
    if (this.#facts.lastHibernate !== null) this.#options.records.event('hibernated', {...this.#facts.lastHibernate, generation});
  }
}

/** Without the fields of which nothing is known. */
function known(fields: Readonly<Record<string, string | number | undefined>>): Record<string, string | number> {
  return Object.fromEntries(Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

function factsIn({lastWake, lastHibernate, lastError, lastExit}: Facts): Facts {
  return {lastWake, lastHibernate, lastError, lastExit};
}
