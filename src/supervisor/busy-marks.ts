import type {Clock} from '../core/clock.ts';
import {errorMessage} from '../core/errors.ts';
import type {AppName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {BusyClients} from '../store/busy-clients.ts';

const markMs = 1000;
/** While an app waits for the last answers before it moves. */
const unfinishedMs = 100;

export interface BusyMarksOptions {
  readonly clients: BusyClients;
  readonly worker: string;
  /** Apps that do not run here and of which a client waits for an answer here, and is not held. */
  readonly busyApps: () => Iterable<AppName>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Tells the workers that have the apps that clients of this one wait for answers: an app must not fall asleep over them. */
export class BusyMarks implements Disposable {
  readonly #options: BusyMarksOptions;
  #cancel: () => void;

  constructor(options: BusyMarksOptions) {
    this.#options = options;
    this.#cancel = this.#later();
  }

  #later(): () => void {
    return this.#options.clock.after(markMs, () => {
      this.#cancel = this.#later();
      this.#mark().catch((error: unknown) => this.#options.log.debug({error: errorMessage(error)}, 'clients that wait could not be announced'));
    });
  }

  /** The app is about to move: as long as a client of it waits for an answer here, that is said all the time. */
  finish(app: AppName): void {
    if (![...this.#options.busyApps()].includes(app)) return;
    const {clients, clock, log} = this.#options;
    clients
      .markUnfinished(app, 4 * unfinishedMs)
      .catch((error: unknown) => log.debug({app, error: errorMessage(error)}, 'a client that waits could not be announced'));
    clock.after(unfinishedMs, () => this.finish(app));
  }

  async #mark(): Promise<void> {
    const {clients, worker, busyApps} = this.#options;
    await Promise.all([...busyApps()].map((app) => clients.mark(app, worker, 3 * markMs)));
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }
}
