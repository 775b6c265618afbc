/** Counts what happens to apps as it is published, in plain numbers: a library for metrics would cost an idle gateway 20 MB. */
import type {Event, Events} from '../store/events.ts';
import type {Json} from '../store/json.ts';

export interface AppCounts {
  readonly restores: number;
  /** Starts from files. */
  readonly starts: number;
  /** Wakes of both kinds that nobody asked for: for timers of the app, and by schedules. */
  readonly timedWakes: number;
  readonly wakeSeconds: number;
  readonly failures: number;
  readonly deaths: number;
  /** Wakes without the newest checkpoint. */
  readonly fallbacks: number;
  readonly hibernations: number;
  /** Those of them that were to free memory. */
  readonly evictions: number;
  readonly hibernationSeconds: number;
  readonly frozenSeconds: number;
  readonly hibernationBytes: number;
  readonly compactions: number;
  readonly compactionBytes: number;
}

/** Upper bounds of the times that wakes are counted by; the last count is of all that took longer. */
export const wakeBoundsSeconds = [0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10] as const;

type Counters = {-readonly [Name in keyof AppCounts]: number};

const none: AppCounts = {
  restores: 0,
  starts: 0,
  timedWakes: 0,
  wakeSeconds: 0,
  failures: 0,
  deaths: 0,
  fallbacks: 0,
  hibernations: 0,
  evictions: 0,
  hibernationSeconds: 0,
  frozenSeconds: 0,
  hibernationBytes: 0,
  compactions: 0,
  compactionBytes: 0,
};

export class EventCounts {
  readonly #apps = new Map<string, Counters>();
  readonly #wakes = wakeBoundsSeconds.map(() => 0).concat(0);

  of(app: string): AppCounts {
    return {...(this.#apps.get(app) ?? none)};
  }

  /** Wakes of all apps by their time: of each bound those that took no longer than it, and longer than the one before. */
  get wakes(): readonly number[] {
    return [...this.#wakes];
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
      case 'woken': {
        const seconds = numberOf(event['ms']) / 1000;
        if (event['cold'] === 1) counters.starts++;
        else counters.restores++;
        if (isTimed(event['trigger'])) counters.timedWakes++;
        counters.wakeSeconds += seconds;
        const bound = wakeBoundsSeconds.findIndex((limit) => seconds <= limit);
        const at = bound === -1 ? wakeBoundsSeconds.length : bound;
        this.#wakes[at] = (this.#wakes[at] ?? 0) + 1;
        return;
      }
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
        counters.failures++;
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
}

/** As `describeTrigger` has it. */
function isTimed(trigger: Json | undefined): boolean {
  return typeof trigger === 'string' && (trigger === 'timer' || trigger.startsWith('schedule '));
}

function numberOf(value: Json | undefined): number {
  return typeof value === 'number' ? value : 0;
}
