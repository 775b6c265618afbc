import type {Supervisor} from '../supervisor/supervisor.ts';

/** How many health checks from outside were answered in the place of each app that sleeps. */
export class AnsweredChecks {
  readonly #apps = new Map<string, {total: number; sinceAsleep: number}>();

  constructor(supervisor: Pick<Supervisor, 'onAwakeChange'>) {
    supervisor.onAwakeChange((app) => {
      const counts = this.#apps.get(app);
      if (counts !== undefined) counts.sinceAsleep = 0;
    });
  }

  count(app: string): void {
    const {total, sinceAsleep} = this.of(app);
    this.#apps.set(app, {total: total + 1, sinceAsleep: sinceAsleep + 1});
  }

  /** Since the gateway was started, and since the app was awake last. */
  of(app: string): {readonly total: number; readonly sinceAsleep: number} {
    return this.#apps.get(app) ?? {total: 0, sinceAsleep: 0};
  }
}
