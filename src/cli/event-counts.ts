/** Counts what happens to apps as it is published, in plain numbers: a library for metrics would cost an idle gateway 20 MB. */
import {Histogram, type HistogramCounts} from '../core/histogram.ts';
import type {Event, Events} from '../store/events.ts';
import type {Json} from '../store/json.ts';

export interface AppCounts {
  readonly restores: number;
  /** Starts from files. */
  readonly starts: number;
  /** Wakes of both kinds that nobody asked for: for timers of the app, and by schedules. */
  readonly timedWakes: number;
  /** Those because a worker that had the app was gone, and those after it had ended by itself. */
  readonly failovers: number;
  readonly restarts: number;
  readonly wakeSeconds: number;
  /** Wakes that failed for good: restores, and starts from files. */
  readonly failedRestores: number;
  readonly failedStarts: number;
  readonly failedCheckpoints: number;
  /** Instances whose memory could not be served any more. */
  readonly failedInstances: number;
  /** Restores that failed and were tried again. */
  readonly restoreRetries: number;
  readonly deaths: number;
  /** Wakes without the newest checkpoint. */
  readonly fallbacks: number;
  readonly hibernations: number;
  /** Those of them that were to free memory. */
  readonly evictions: number;
  /** How often `hibernate-after` was doubled, since it did not sleep for long. */
  readonly flappings: number;
  /** How often it was stopped since its lease had run out. */
  readonly leaseLapses: number;
  readonly hibernationSeconds: number;
  readonly frozenSeconds: number;
  readonly hibernationBytes: number;
  readonly compactions: number;
  readonly compactionBytes: number;
}

/** Upper bounds of the times that wakes and their parts are counted by; the last count is of all that took longer. */
export const wakeBoundsSeconds = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10] as const;

export const wakePhases = ['hold', 'place', 'restore', 'pages', 'ready'] as const;
export type WakePhase = (typeof wakePhases)[number];

type Counters = {-readonly [Name in keyof AppCounts]: number};

const none: AppCounts = {
  restores: 0,
  starts: 0,
  timedWakes: 0,
  failovers: 0,
  restarts: 0,
  wakeSeconds: 0,
  failedRestores: 0,
  failedStarts: 0,
  failedCheckpoints: 0,
  failedInstances: 0,
  restoreRetries: 0,
  deaths: 0,
  fallbacks: 0,
  hibernations: 0,
  evictions: 0,
  flappings: 0,
  leaseLapses: 0,
  hibernationSeconds: 0,
  frozenSeconds: 0,
  hibernationBytes: 0,
  compactions: 0,
  compactionBytes: 0,
};

export class EventCounts {
  readonly #apps = new Map<string, Counters>();
  readonly #wakes = {restore: new Histogram(wakeBoundsSeconds), start: new Histogram(wakeBoundsSeconds)};
  readonly #phases = new Map(wakePhases.map((phase) => [phase, new Histogram(wakeBoundsSeconds)]));
  readonly #packetHolds = new Histogram(wakeBoundsSeconds);

  of(app: string): AppCounts {
    return {...(this.#apps.get(app) ?? none)};
  }

  /** How long wakes of all apps took, and the phases of them, in seconds. */
  get wakes(): WakeTimings {
    return {
      total: {restore: this.#wakes.restore.counted, start: this.#wakes.start.counted},
      phases: Object.fromEntries([...this.#phases].map(([phase, histogram]) => [phase, histogram.counted])) as WakeTimings['phases'],
      packetHolds: this.#packetHolds.counted,
    };
  }

  /** The same events, each counted before it is published. */
  counting(events: Events): Events {
    return {
      ...events,
      publish: (event) => {
        this.add(event);
        return events.publish(event);
      },
    };
  }

  add(event: Event): void {
    const {app, kind} = event;
    if (app === null) return;
    const counters = this.#apps.get(app) ?? {...none};
    this.#apps.set(app, counters);
    switch (kind) {
      case 'woken':
        this.#countWake(event, counters);
        return;
      case 'paged':
        this.#phases.get('pages')?.add(numberOf(event['ms']) / 1000);
        return;
      case 'hibernated':
        counters.hibernations++;
        counters.hibernationSeconds += numberOf(event['ms']) / 1000;
        counters.frozenSeconds += numberOf(event['frozenMs']) / 1000;
        counters.hibernationBytes += numberOf(event['bytesWritten']);
        return;
      case 'evicted':
        counters.evictions++;
        return;
      case 'compacted':
        counters.compactions++;
        counters.compactionBytes += numberOf(event['bytesWritten']);
        return;
      case 'error':
        countFailure(counters, event['what']);
        return;
      case 'restore-retried':
        counters.restoreRetries++;
        return;
      case 'flapping':
        counters.flappings++;
        return;
      case 'stands-still':
        counters.leaseLapses++;
        return;
      case 'died':
        counters.deaths++;
        return;
      case 'fallback':
        counters.fallbacks++;
        return;
      default:
    }
  }

  #countWake(event: Event, counters: Counters): void {
    const seconds = numberOf(event['ms']) / 1000;
    const isStart = event['cold'] === 1;
    if (isStart) counters.starts++;
    else counters.restores++;
    if (isTimed(event['trigger'])) counters.timedWakes++;
    else if (event['trigger'] === 'failover') counters.failovers++;
    else if (event['trigger'] === 'restart') counters.restarts++;
    counters.wakeSeconds += seconds;
    this.#wakes[isStart ? 'start' : 'restore'].add(seconds);
    for (const phase of wakePhases) {
      const ms = event[`${phase}Ms`];
      if (typeof ms === 'number') this.#phases.get(phase)?.add(ms / 1000);
    }
    if (event['by'] === 'packet') this.#packetHolds.add(seconds + numberOf(event['holdMs']) / 1000);
  }
}

/** Seconds. Phases overlap, see `WakePhases`. */
export interface WakeTimings {
  readonly total: {readonly restore: HistogramCounts; readonly start: HistogramCounts};
  readonly phases: Readonly<Record<WakePhase, HistogramCounts>>;
  /** How long the first packet was held that woke an app. */
  readonly packetHolds: HistogramCounts;
}

/** @param what see `Failed` in supervisor/history.ts */
function countFailure(counters: Counters, what: Json | undefined): void {
  if (what === 'restore') counters.failedRestores++;
  else if (what === 'start') counters.failedStarts++;
  else if (what === 'checkpoint') counters.failedCheckpoints++;
  else if (what === 'instance') counters.failedInstances++;
}

/** As `describeTrigger` has it. */
function isTimed(trigger: Json | undefined): boolean {
  return typeof trigger === 'string' && (trigger === 'timer' || trigger.startsWith('schedule '));
}

function numberOf(value: Json | undefined): number {
  return typeof value === 'number' ? value : 0;
}
