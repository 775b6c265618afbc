/** Small objects of a remote store, which are fetched and kept as a whole. */
import type {Log} from '../core/log.ts';
import type {LocalCache} from './local-cache.ts';
import type {ObjectStore} from './object-store.ts';

/** Objects up to this size are fetched as a whole when the first byte of them is needed. */
export const wholeBytesMax = 256 * 1024;

export class WholeObjects {
  readonly #remote: ObjectStore;
  readonly #log: Log;
  readonly #cache: LocalCache;
  readonly #underWay = new Map<string, Promise<Buffer>>();

  constructor({remote, log}: {readonly remote: ObjectStore; readonly log: Log}, cache: LocalCache) {
    this.#remote = remote;
    this.#log = log;
    this.#cache = cache;
  }

  /** Once for all who want it at the same time; keeps a copy of one that is small. @throws ObjectStoreError */
  fetch(key: string): Promise<Buffer> {
    const running = this.#underWay.get(key) ?? this.#fetch(key).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, running);
    return running;
  }

  async #fetch(key: string): Promise<Buffer> {
    const data = await this.#remote.get(key);
    if (data.length > wholeBytesMax) return data;
    await this.#cache.add(key, data).catch((error: unknown) => this.#log.warn({key, err: error}, 'an object could not be kept in the cache'));
    return data;
  }
}
