/**
 * The layers of apps' files on this worker share `cache-size` with the local copies of objects. When both together are too much, those of the
 * sleeping app that was used longest ago go, if all of them are in the remote store; a wake fetches them again. Only here is known which are
 * in use: an overlay whose layers are removed is destroyed under the app.
 */
import {errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import type {App} from './app.ts';
import type {Pager, Rest} from './instance.ts';
import {layerBytes} from './layer-bytes.ts';

type LimitedApp = Pick<App, 'status' | 'housekeeping' | 'standby' | 'prepareWake'>;

export interface LayerLimitOptions {
  readonly limitBytes: number;
  /** As they are at the moment: a reload may open and retire some. */
  readonly apps: {
    get(name: string): LimitedApp | undefined;
    entries(): Iterable<readonly [name: string, app: LimitedApp]>;
  };
  readonly layersDirOf: (app: string) => string;
  readonly pager: Pick<Pager, 'placement' | 'shareCache'>;
  readonly log: Log;
}

export class LayerLimit {
  readonly #options: LayerLimitOptions;
  /** Of apps that are stored: they stay so until they start from something else. */
  readonly #measured = new Map<string, {readonly rest: Rest; readonly bytes: number}>();
  #pass: Promise<void> | undefined;
  #again = false;

  constructor(options: LayerLimitOptions) {
    this.#options = options;
  }

  /** In the background. To be called when layers may have become more, or may go now that they did not before. Never throws. */
  check(): void {
    this.#again = true;
    this.#pass ??= this.#run().finally(() => {
      this.#pass = undefined;
    });
  }

  async #run(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      try {
        await this.#makeRoom();
      } catch (error) {
        this.#options.log.warn({error: errorMessage(error)}, 'what the files of apps take on this worker could not be limited');
      }
    }
  }

  async #makeRoom(): Promise<void> {
    const {apps, limitBytes, log, pager} = this.#options;
    const held = await this.#measure();
    let layersBytes = held.reduce((sum, {bytes}) => sum + bytes, 0);
    let copyBytes = await pager.shareCache(layersBytes, []);
    for (const {name, bytes} of held.sort((a, b) => a.usedAt - b.usedAt)) {
      if (layersBytes + copyBytes <= limitBytes) return;
      const app = apps.get(name);
      if (bytes === 0 || app === undefined || !(await this.#drop(name, app))) continue;
      layersBytes -= bytes;
      copyBytes = await pager.shareCache(layersBytes, [name]);
      log.info({app: name, bytes}, 'the files of a sleeping app made room on this worker; they are in the store');
    }
  }

  /** Of each app that is in the remote store, what its layers take. */
  async #measure(): Promise<{readonly name: string; readonly bytes: number; readonly usedAt: number}[]> {
    const {apps, layersDirOf} = this.#options;
    const found: {name: string; bytes: number; usedAt: number}[] = [];
    for (const [name, app] of apps.entries()) {
      const {state, rest, lastWake, lastHibernate} = app.status();
      if (state !== 'hibernated') continue;
      let known = this.#measured.get(name);
      if (known?.rest !== rest) {
        if (!(await this.#isStored(name))) continue;
        known = {rest, bytes: await layerBytes(layersDirOf(name))};
        this.#measured.set(name, known);
      }
      found.push({name, bytes: known.bytes, usedAt: Math.max(lastWake?.at ?? 0, lastHibernate?.at ?? 0)});
    }
    return found;
  }

  async #isStored(name: string): Promise<boolean> {
    // While the store cannot be asked, nothing goes.
    const place = await this.#options.pager.placement(name).catch(() => null);
    return place?.stored === true && place.pendingObjects === 0;
  }

  /** @returns false when the app is needed, or not all of it is stored (any more) */
  async #drop(name: string, app: Pick<App, 'status' | 'housekeeping' | 'standby' | 'prepareWake'>): Promise<boolean> {
    if (app.status().state !== 'hibernated' || !(await this.#isStored(name))) return false;
    using _held = await app.housekeeping.hold();
    await app.standby.drop();
    if (await app.housekeeping.dropFiles()) return true;
    app.prepareWake();
    return false;
  }
}
