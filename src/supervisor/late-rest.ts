/** What an app starts from, when nobody but a store that cannot be reached knows that. */
import {errorMessage} from '../core/errors.ts';
import type {Generation} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {AppRecord} from '../store/app-record.ts';
import type {Rest} from './instance.ts';

const retryMs = 5000;

export interface Origin {
  readonly rest: Rest;
  /** The generation at which Redis points. */
  readonly pointer: Generation | null;
  /** What another worker has recorded of the app, where one can have had it. */
  readonly recorded?: Pick<AppRecord, 'lastWake' | 'lastHibernate' | 'lastError' | 'lastExit'>;
}

export interface LateRestOptions {
  /** Null when all is known. @throws CodedError while the store cannot be reached */
  readonly find: (() => Promise<Origin>) | null;
  readonly found: (origin: Origin) => void;
  /** Somebody asked in vain. */
  readonly failed: (error: unknown) => void;
  readonly log: Log;
}

export class LateRest {
  readonly #options: LateRestOptions;
  #find: (() => Promise<Origin>) | null;
  #finding: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** Tries again and again by itself, until `stop()`. */
  constructor(options: LateRestOptions) {
    this.#options = options;
    this.#find = options.find;
    this.#wait();
  }

  get isKnown(): boolean {
    return this.#find === null;
  }

  /** Resolves when it is known; several callers share one attempt. @throws as `find` of the options */
  async find(): Promise<void> {
    if (this.#find === null) return;
    try {
      await this.#attempt(this.#find);
    } catch (error) {
      this.#options.failed(error);
      throw error;
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #attempt(find: () => Promise<Origin>): Promise<void> {
    this.#finding ??= this.#findOnce(find).finally(() => {
      this.#finding = undefined;
    });
    return this.#finding;
  }

  async #findOnce(find: () => Promise<Origin>): Promise<void> {
    const origin = await find();
    this.#find = null;
    this.stop();
    this.#options.found(origin);
    this.#options.log.info({generation: origin.pointer}, 'the store can be reached again; what the app starts from is known');
  }

  #wait(): void {
    const find = this.#find;
    if (find === null) return;
    this.#timer = setTimeout(() => {
      this.#attempt(find).catch((error: unknown) => {
        this.#options.log.debug({error: errorMessage(error)}, 'what the app starts from is still not known');
        if (this.#timer !== undefined) this.#wait();
      });
    }, retryMs);
  }
}
