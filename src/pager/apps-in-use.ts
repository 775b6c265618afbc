/** Which local copies must stay: somebody reads from them through descriptors of theirs, or is about to. */
import type {AppName} from '../core/ids.ts';
import type {Checkpoint} from './checkpoints/checkpoint.ts';
import {keysOf} from './checkpoints/checkpoint-keys.ts';

type Served = readonly {readonly checkpoint: Checkpoint}[];

export class AppsInUse {
  readonly #served: () => Served;
  /** How many restores of each are being prepared: what they have opened is not known before they are served. */
  readonly #preparing = new Map<AppName, number>();

  /** @param served what instances run from, or are prepared from */
  constructor(served: () => Served) {
    this.#served = served;
  }

  /** All copies of the app stay until this is disposed. To be called before the first of them is opened. */
  prepare(app: AppName): Disposable {
    this.#preparing.set(app, (this.#preparing.get(app) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        const left = (this.#preparing.get(app) ?? 0) - 1;
        if (left > 0) this.#preparing.set(app, left);
        else this.#preparing.delete(app);
      },
    };
  }

  has(app: AppName): boolean {
    return this.#preparing.has(app) || this.#served().some(({checkpoint}) => checkpoint.app === app);
  }

  /** Of objects, as of now. */
  keys(): {has(key: string): boolean} {
    const served = keysOfServed(this.#served());
    const prefixes = [...this.#preparing.keys()].map((app) => `apps/${app}/`);
    return {has: (key) => served.has(key) || prefixes.some((prefix) => key.startsWith(prefix))};
  }
}

function keysOfServed(served: Served): ReadonlySet<string> {
  const found = new Set<string>();
  for (const {checkpoint} of served) {
    const {app, generation, token, manifest} = checkpoint;
    const keys = keysOf(app);
    found
      .add(keys.manifest(generation))
      .add(keys.key)
      .add(keys.predicted)
      .add(manifest.bundle.key)
      .add(`${keys.cold(generation, token)}.segment`);
    for (const {segment} of manifest.segments) found.add(keys.segment(segment));
  }
  return found;
}
