/**
 * Where an app can be reached, of all workers that share it: it is woken where it is, or where it had best be. Whoever asks waits meanwhile: while it
 * moves from one worker to another, while the lease of one that is gone runs out, while a checkpoint is brought to the store.
 */
import type {Clock} from '../core/clock.ts';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import {type AppName, appName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Trigger} from '../core/trigger.ts';
import type {AppRecord} from '../store/app-record.ts';
import type {Leases} from '../store/lease.ts';
import type {StoredPlacement} from '../store/placements.ts';
import type {App} from './app.ts';
import type {Membership} from './membership.ts';
import {type Placed, type PlacedApp, place} from './placement.ts';
import {parseDetails} from './records.ts';

/** Where a worker has an app: an address, and the port there for each that the app exposes, by `tcp/80`; `check/80` is for health checks, which are no traffic. */
export interface Endpoint {
  readonly host: string;
  readonly ports: Readonly<Record<string, number>>;
}

export interface LocatorOptions {
  readonly membership: Membership;
  readonly leases: Pick<Leases, 'owner'>;
  readonly readApp: (name: AppName) => Promise<AppRecord | null>;
  readonly placement: (name: AppName) => Promise<StoredPlacement | undefined>;
  readonly app: (name: string) => Promise<App>;
  readonly settings: (name: string) => PlacedApp & {readonly wakeTimeoutMs: number};
  /** Where this worker has an app. */
  readonly endpointHere: (name: AppName) => Endpoint;
  /** Has another worker wake an app. @throws CodedError as it does; ERR_NO_GATEWAY, ERR_CONTROL_TIMEOUT */
  readonly wakeThere: (
    worker: string,
    app: {readonly name: AppName; readonly trigger: Trigger},
    options: {readonly timeoutMs: number; readonly signal: AbortSignal},
  ) => Promise<Endpoint>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Reasons to ask again who has the app: it is on its way. */
const passing: ReadonlySet<string | undefined> = new Set([
  'ERR_LEASE_HELD',
  'ERR_LEASE_OVERDUE',
  'ERR_REDIS_UNAVAILABLE',
  'ERR_NOT_STORED',
  'ERR_WORKER_DRAINED',
  'ERR_STOPPING',
  'ERR_NO_GATEWAY',
  'ERR_CONTROL_TIMEOUT',
]);
const retryMs = 100;
/** Events tell when an app has left a worker; this is for those that were missed. */
const endpointAgeMs = 10_000;
/** Another worker that does not answer is asked anew. */
const answerMs = 5000;
/** After the moment at which a lease has run out. */
const expiryMarginMs = 2;

export class AppLocator {
  readonly #options: LocatorOptions;
  readonly #elsewhere = new Map<AppName, {readonly endpoint: Endpoint; readonly worker: string; readonly untilMs: number}>();
  /** By worker: aborted when it is gone. */
  readonly #asked = new Map<string, AbortController>();
  readonly #finding = new Map<AppName, Promise<Endpoint>>();

  constructor(options: LocatorOptions) {
    this.#options = options;
  }

  /** Wakes the app, wherever. @throws CodedError ERR_NO_WORKER, ERR_WAKE_TIMEOUT, or why the wake failed */
  async reach(name: AppName, trigger: Trigger): Promise<Endpoint> {
    const {app, clock, endpointHere} = this.#options;
    const here = await app(name);
    if (here.isHere) {
      try {
        await here.wake(trigger);
        return endpointHere(name);
      } catch (error) {
        if (!passing.has(errorCode(error))) throw error;
      }
    }
    const known = this.#elsewhere.get(name);
    if (known !== undefined && clock.monotonicMs() < known.untilMs) return known.endpoint;
    // Fifty clients ask once.
    const underWay = this.#finding.get(name);
    if (underWay !== undefined) return underWay;
    const finding = this.#find(name, trigger).finally(() => this.#finding.delete(name));
    this.#finding.set(name, finding);
    return finding;
  }

  /** Whether this worker may wake the app, if it runs nowhere: it is wanted here. @throws CodedError */
  async mayWakeHere(name: AppName): Promise<boolean> {
    const own = this.#options.membership.name;
    const placed = await this.#place(name, own);
    return placed.kind === 'worker' && placed.name === own;
  }

  /** The worker that has the app, or had it last and is heard of; null: nobody does. @throws CodedError */
  async holder(name: AppName): Promise<string | null> {
    const {leases, membership, readApp} = this.#options;
    const [owner, record, workers] = await Promise.all([leases.owner(name), readApp(name), membership.list()]);
    const home = owner?.worker ?? parseDetails(record?.details ?? null).home;
    return workers.some((worker) => worker.name === home && worker.state === 'alive') ? home : null;
  }

  /** The app has left wherever it was, or all apps have left a worker. */
  forget({app, worker}: {readonly app?: string; readonly worker?: string}): void {
    if (app !== undefined) this.#elsewhere.delete(appName(app));
    if (worker === undefined) return;
    for (const [name, known] of this.#elsewhere) if (known.worker === worker) this.#elsewhere.delete(name);
    const found = `worker "${worker}" is not heard of any more`;
    this.#asked.get(worker)?.abort(new CodedError('ERR_NO_GATEWAY', `Cannot wait for an answer: ${found}`, {source: 'host', retryable: true}));
    this.#asked.delete(worker);
  }

  async #place(name: AppName, preferred: string | null = null): Promise<Placed & {readonly forMs?: number}> {
    const {leases, membership, placement, readApp, settings} = this.#options;
    const [owner, record, workers, stored] = await Promise.all([leases.owner(name), readApp(name), membership.list(), placement(name)]);
    const placed = place({app: settings(name), owner: owner?.worker ?? null, workers, preferred, ...originOf(record, stored)});
    // One that is gone extends no lease: then it ends at a moment that is known.
    return placed.kind === 'wait' && owner !== null ? {...placed, forMs: Math.min(retryMs, owner.remainingMs + expiryMarginMs)} : placed;
  }

  async #find(name: AppName, trigger: Trigger): Promise<Endpoint> {
    const {clock, settings} = this.#options;
    const {wakeTimeoutMs} = settings(name);
    const deadlineMs = clock.monotonicMs() + wakeTimeoutMs;
    for (;;) {
      let reason: string;
      let pauseMs = retryMs;
      try {
        const placed = await this.#place(name);
        if (placed.kind === 'none') throw new CodedError('ERR_NO_WORKER', `Cannot wake app "${name}": ${placed.reason}`, {source: 'host', retryable: true});
        if (placed.kind === 'worker') return await this.#wakeAt(placed.name, {name, trigger, timeoutMs: Math.min(answerMs, deadlineMs - clock.monotonicMs())});
        ({reason, forMs: pauseMs = retryMs} = placed);
      } catch (error) {
        if (!passing.has(errorCode(error))) throw error;
        this.#options.membership.forgetList();
        reason = errorMessage(error);
      }
      if (clock.monotonicMs() > deadlineMs) {
        throw new CodedError('ERR_WAKE_TIMEOUT', `Cannot wake app "${name}" within ${wakeTimeoutMs} ms: ${reason}`, {source: 'host', retryable: true});
      }
      await new Promise<void>((resolve) => void setTimeout(resolve, pauseMs));
    }
  }

  async #wakeAt(
    worker: string,
    {name, trigger, timeoutMs}: {readonly name: AppName; readonly trigger: Trigger; readonly timeoutMs: number},
  ): Promise<Endpoint> {
    const {app, clock, endpointHere, membership, wakeThere} = this.#options;
    if (worker === membership.name) {
      await (await app(name)).wake(trigger);
      return endpointHere(name);
    }
    const asked = this.#asked.get(worker) ?? new AbortController();
    this.#asked.set(worker, asked);
    const endpoint = await wakeThere(worker, {name, trigger}, {timeoutMs: Math.max(1, timeoutMs), signal: asked.signal});
    this.#elsewhere.set(name, {endpoint, worker, untilMs: clock.monotonicMs() + endpointAgeMs});
    return endpoint;
  }
}

function originOf(record: AppRecord | null, stored: StoredPlacement | undefined): {readonly home: string | null; readonly isStored: boolean} {
  if (record === null) return {home: null, isStored: true};
  const {home, startsFromFiles, layers} = parseDetails(record.details);
  if (record.generation === null || startsFromFiles) return {home, isStored: layers.length === 0};
  return {home, isStored: stored?.generation === record.generation && stored.stored};
}
