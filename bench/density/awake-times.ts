/** When apps were awake, by the events of the gateway, which come when a wake or a sleep is done. Times are milliseconds since 1970. */
import type {Event} from '../../src/store/events.ts';

interface Between {
  readonly fromMs: number;
  readonly untilMs: number;
}

interface Awake {
  /** While it was woken. */
  readonly wake: Between;
  asleepMs: number;
}

export class AwakeTimes {
  readonly #apps = new Map<string, Awake[]>();
  wakes = 0;
  hibernations = 0;
  errors = 0;
  bytesWritten = 0;

  add({app, kind, at, bytesWritten, ms}: Event): void {
    if (app === null) return;
    const times = this.#apps.get(app) ?? [];
    this.#apps.set(app, times);
    if (kind === 'error') this.errors++;
    if (kind === 'woken') {
      this.wakes++;
      times.push({wake: {fromMs: at - (typeof ms === 'number' ? ms : 0), untilMs: at}, asleepMs: Number.POSITIVE_INFINITY});
    }
    if (kind === 'hibernated') {
      this.hibernations++;
      const last = times.at(-1);
      if (last !== undefined) last.asleepMs = at;
    }
    if ((kind === 'hibernated' || kind === 'compacted') && typeof bytesWritten === 'number') this.bytesWritten += bytesWritten;
  }

  /** Whether it was woken in this time, or for a part of it. */
  wasWoken(app: string, {fromMs, untilMs}: Between): boolean {
    return this.#apps.get(app)?.some(({wake}) => wake.fromMs <= untilMs && wake.untilMs >= fromMs) ?? false;
  }

  /** Mean number of apps in this time. */
  meanAwake({fromMs, untilMs}: Between): number {
    let sum = 0;
    for (const {wake, asleepMs} of [...this.#apps.values()].flat()) sum += Math.max(0, Math.min(untilMs, asleepMs) - Math.max(fromMs, wake.fromMs));
    return sum / (untilMs - fromMs);
  }
}
