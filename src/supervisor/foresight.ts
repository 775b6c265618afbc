/**
 * A worker is late to say that it is there. What runs on it would be woken elsewhere once its leases have run out, so the worker that would have an app
 * brings what it starts from here meanwhile, and prepares its restore.
 */
import type {AppName} from '../core/ids.ts';
import type {AppRecord} from '../store/app-record.ts';
import type {WorkerStatus} from '../store/workers.ts';
import {isAwake} from './failover.ts';
import {type PlacedApp, place} from './placement.ts';
import type {Sharing} from './sharing.ts';

export interface ForesightOptions {
  /** The name of this worker. */
  readonly worker: string;
  readonly listApps: () => Promise<ReadonlyMap<AppName, AppRecord | Error>>;
  readonly listWorkers: () => Promise<readonly WorkerStatus[]>;
  /** Null for an app that is not in the configuration. */
  readonly settings: (name: AppName) => PlacedApp | null;
  readonly app: (name: AppName) => Promise<{readonly sharing: Pick<Sharing, 'foresee' | 'foreseenInVain'>}>;
}

const concurrency = 4;
/** A worker that is only late is not worth more. */
const appsMax = 32;

export class Foresight {
  readonly #options: ForesightOptions;
  /** By the worker that is late: what was prepared, when all of it is. */
  readonly #foreseen = new Map<string, Promise<readonly AppName[]>>();

  constructor(options: ForesightOptions) {
    this.#options = options;
  }

  /** Resolves when all is brought here. @throws CodedError ERR_REDIS_UNAVAILABLE */
  async silent(worker: string): Promise<void> {
    const foreseen = this.#foresee(worker);
    this.#foreseen.set(worker, foreseen);
    await foreseen;
  }

  /** What was prepared for the end of the worker goes, also what is being prepared now. @throws as `silent()` */
  async heardAgain(worker: string): Promise<void> {
    const foreseen = this.#foreseen.get(worker);
    this.#foreseen.delete(worker);
    for (const name of (await foreseen) ?? []) (await this.#options.app(name)).sharing.foreseenInVain();
  }

  async #foresee(worker: string): Promise<readonly AppName[]> {
    const names = await this.#wouldComeHere(worker);
    const rest = names.values();
    const foreseeOne = async (): Promise<void> => {
      for (const name of rest) await (await this.#options.app(name)).sharing.foresee();
    };
    await Promise.all(Array.from({length: concurrency}, foreseeOne));
    return names;
  }

  async #wouldComeHere(silent: string): Promise<readonly AppName[]> {
    const {worker, listApps, listWorkers, settings} = this.#options;
    const [apps, workers] = await Promise.all([listApps(), listWorkers()]);
    const others = workers.filter(({name}) => name !== silent);
    const comesHere = (name: AppName): boolean => {
      const app = settings(name);
      if (app === null) return false;
      const placed = place({app, owner: null, home: null, isStored: true, workers: others});
      return placed.kind === 'worker' && placed.name === worker;
    };
    const running = [...apps.values()].filter((record): record is AppRecord => !(record instanceof Error) && record.worker === silent && isAwake(record));
    return running
      .map(({name}) => name)
      .filter(comesHere)
      .slice(0, appsMax);
  }
}
