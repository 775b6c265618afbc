/**
 * What is to be done in the background for apps that were just opened. A gateway may have thousands: the next wakes of those that were used last are
 * prepared, as many as there is room for, and what the last gateway left of each is tidied up, one app after the other, with pauses in which those
 * that are wanted have the machine for themselves.
 */
import type {Clock} from '../core/clock.ts';
import type {App} from './app.ts';

/** How long others have the machine, as a multiple of the time that an app took. */
const pauseShare = 1;

export interface SettlingOptions {
  readonly clock: Clock;
  /** For so many apps a wake can be prepared. */
  readonly standbyCount: number;
}

export class Settling {
  readonly #options: SettlingOptions;
  readonly #added: {readonly app: App; readonly isUntidy: boolean}[] = [];
  readonly #untidy: App[] = [];
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(options: SettlingOptions) {
    this.#options = options;
  }

  /** @param options.isUntidy the last gateway can have left something of it */
  add(app: App, {isUntidy}: {readonly isUntidy: boolean}): void {
    this.#added.push({app, isUntidy});
  }

  /** All that were added are open. */
  begin(): void {
    const added = this.#added.splice(0);
    for (const {app} of added) app.timer.arm();
    this.prepareWakes(added.map(({app}) => app));
    this.#untidy.push(...added.flatMap(({app, isUntidy}) => (isUntidy ? [app] : [])));
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Those that were used last come last: what was prepared first gives way when there is no room. */
  prepareWakes(apps: readonly App[]): void {
    const inOrder = apps.map((app) => ({app, usedAt: lastUse(app)})).sort((a, b) => a.usedAt - b.usedAt);
    for (const {app} of inOrder.slice(-this.#options.standbyCount)) app.prepareWake();
  }

  stop(): void {
    this.#stopped = true;
  }

  async #run(): Promise<void> {
    for (let app = this.#untidy.shift(); app !== undefined; app = this.#untidy.shift()) {
      const beganMs = this.#options.clock.monotonicMs();
      if (this.#stopped) return;
      app.housekeeping.tidy();
      await app.housekeeping.done();
      await this.#pause((this.#options.clock.monotonicMs() - beganMs) * pauseShare);
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.after(ms, resolve));
  }
}

/** Milliseconds since 1970; 0 when it was never used. */
function lastUse(app: App): number {
  const {lastWake, lastHibernate} = app.status();
  return Math.max(lastWake?.at ?? 0, lastHibernate?.at ?? 0);
}
