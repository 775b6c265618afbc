import type {Clock} from '../core/clock.ts';
import {errorMessage} from '../core/errors.ts';
import type {AppName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {CheckPlace} from '../edge/app-access.ts';
import type {Endpoint} from '../supervisor/app-locator.ts';

/** Moves are told; this is for those that were missed. */
const ageMs = 10_000;

export interface CheckPlacesOptions {
  /** Where another worker has an app; null: none has. It is not woken. @throws CodedError */
  readonly where: (app: AppName) => Promise<Endpoint | null>;
  readonly clock: Clock;
  readonly log: Log;
}

interface Known {
  /** Null: nobody could say. */
  readonly endpoint: Endpoint | null;
  readonly untilMs: number;
}

/** Where apps of other workers can be checked. Most are checked by nobody: it is asked when a check first wants to know, which has to wait for the next one. */
export class CheckPlaces {
  readonly #options: CheckPlacesOptions;
  readonly #known = new Map<AppName, Known>();
  readonly #asked = new Map<AppName, Promise<void>>();

  constructor(options: CheckPlacesOptions) {
    this.#options = options;
  }

  /** Null while it is not known, and for a port that is not exposed. */
  of(app: AppName, port: number): CheckPlace | null {
    const known = this.#known.get(app);
    if (known === undefined || this.#options.clock.monotonicMs() > known.untilMs) this.#ask(app);
    const endpoint = known?.endpoint ?? null;
    const checked = endpoint?.ports[`check/${port}`];
    return endpoint === null || checked === undefined ? null : {host: endpoint.host, port: checked, from: null};
  }

  /** It may be somewhere else now. */
  forget(app: AppName): void {
    this.#known.delete(app);
    this.#asked.delete(app);
  }

  #ask(app: AppName): void {
    if (this.#asked.has(app)) return;
    const {clock, log, where} = this.#options;
    const asked = where(app)
      .catch((error: unknown) => {
        log.debug({app, error: errorMessage(error)}, 'where it could be checked is not known');
        return null;
      })
      .then((endpoint) => {
        // What was forgotten meanwhile is asked for again.
        if (this.#asked.get(app) !== asked) return;
        this.#asked.delete(app);
        this.#known.set(app, {endpoint, untilMs: clock.monotonicMs() + ageMs});
      });
    this.#asked.set(app, asked);
  }
}
