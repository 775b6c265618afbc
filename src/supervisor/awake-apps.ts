import type {AppName} from '../core/ids.ts';
import type {State} from './lifecycle.ts';

type Listener = (app: AppName, awake: boolean) => void;

/** Which apps run, and who wants to know when that changes. */
export class AwakeApps {
  readonly #awake = new Set<AppName>();
  readonly #listeners = new Set<Listener>();

  has(app: AppName): boolean {
    return this.#awake.has(app);
  }

  /** @returns a function that ends it */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  moved(app: AppName, to: State): void {
    const isAwake = to === 'running';
    if (this.#awake.has(app) === isAwake) return;
    if (isAwake) this.#awake.add(app);
    else this.#awake.delete(app);
    for (const listener of this.#listeners) listener(app, isAwake);
  }
}
