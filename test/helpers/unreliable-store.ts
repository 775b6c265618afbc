/** An object store with a network in between: adds delay, fails when told, and counts what is asked of it. */
import {setTimeout as sleep} from 'node:timers/promises';
import {type ObjectStore, ObjectStoreError} from '../../src/store/object-store.ts';

export interface UnreliableStore extends ObjectStore {
  /** Before each answer, milliseconds. */
  delayMs: number;
  /** Per stream, on top of the delay; 0 = as fast as it goes. */
  bytesPerSecond: number;
  /** Return true to have a request fail. */
  fails: (method: string, key: string) => boolean;
  /** Method and key of every request. */
  readonly requests: string[];
  /** Sum of all answers. */
  bytesRead: number;
}

export function unreliableStore(store: ObjectStore): UnreliableStore {
  const request = async <T>(method: string, key: string, work: () => Promise<T>, bytesOf: (result: T) => number = () => 0): Promise<T> => {
    outer.requests.push(`${method} ${key}`);
    const fail = (): void => {
      if (outer.fails(method, key)) throw new ObjectStoreError('ERR_STORE_FAILED', `Cannot ${method} object "${key}": the connection was reset`, {key});
    };
    fail();
    if (outer.delayMs > 0) await sleep(outer.delayMs);
    const result = await work();
    if (method === 'get') outer.bytesRead += bytesOf(result);
    if (outer.bytesPerSecond > 0) await sleep((bytesOf(result) / outer.bytesPerSecond) * 1000);
    fail();
    return result;
  };
  const outer: UnreliableStore = {
    delayMs: 0,
    bytesPerSecond: 0,
    fails: () => false,
    requests: [],
    bytesRead: 0,
    put: async (key, body, options) => request('put', key, () => store.put(key, body, options), Number),
    get: async (key, range) =>
      request(
        'get',
        key,
        () => store.get(key, range),
        (data) => data.length,
      ),
    size: async (key) => request('size', key, () => store.size(key)),
    list: async (prefix) => request('list', prefix, () => store.list(prefix)),
    delete: async (key) => request('delete', key, () => store.delete(key)),
    localFile: async () => Promise.resolve(undefined),
  };
  return outer;
}
