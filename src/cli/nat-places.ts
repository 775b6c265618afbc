import {isDeepStrictEqual} from 'node:util';
import type {Clock} from '../core/clock.ts';
import {errorMessage} from '../core/errors.ts';
import type {AppName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Endpoint} from '../supervisor/app-locator.ts';

/** Moves are told; this is for those that were missed, and for workers that are drained, stop or die. */
const lookMs = 2000;

export interface NatPlacesOptions {
  /** Those that frontends of mode nat lead to. */
  readonly apps: () => readonly AppName[];
  /** Where another worker has the app, or had it last and can wake it; null: this one can. @throws CodedError */
  readonly elsewhere: (app: AppName) => Promise<Endpoint | null>;
  /** What the kernel forwards has to change. @throws CodedError */
  readonly changed: () => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Where the kernel sends the packets of frontends in mode nat whose apps are on other workers. */
export class NatPlaces implements Disposable {
  readonly #options: NatPlacesOptions;
  readonly #places = new Map<AppName, Endpoint>();
  #cancel: () => void;
  #looking: Promise<void> = Promise.resolve();
  #isOver = false;

  constructor(options: NatPlacesOptions) {
    this.#options = options;
    this.#cancel = options.clock.after(0, () => this.look());
  }

  of(app: AppName): Endpoint | undefined {
    return this.#places.get(app);
  }

  /** Something has happened to an app. One look at a time. */
  look(): void {
    if (this.#isOver) return;
    this.#cancel();
    this.#looking = this.#looking
      .then(() => this.#lookOnce())
      .catch((error: unknown) => this.#options.log.warn({error: errorMessage(error)}, 'packets of mode nat may go where their app is not; it is tried again'));
    this.#cancel = this.#options.clock.after(lookMs, () => this.look());
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#cancel();
  }

  async #lookOnce(): Promise<void> {
    const {apps, elsewhere, changed} = this.#options;
    let isChanged = false;
    for (const app of apps()) {
      const place = (await elsewhere(app)) ?? undefined;
      if (isDeepStrictEqual(place, this.#places.get(app))) continue;
      if (place === undefined) this.#places.delete(app);
      else this.#places.set(app, place);
      isChanged = true;
    }
    if (isChanged && !this.#isOver) await changed();
  }
}
