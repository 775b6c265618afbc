/**
 * What is in the remote store, as far as this process knows: listed once per app, and kept in step with what this process writes and removes.
 * So that asking what there is costs no round trip while an app is frozen. Another worker's changes are seen after `refresh()`.
 */
import {isUnreachable, type ListedObject, type ObjectStore, type ObjectStoreError} from './object-store.ts';

/** After it could not be reached, it is not asked for so long: each attempt takes its time, and there may be many apps. */
const restMs = 3000;

export class RemoteIndex {
  readonly #remote: ObjectStore;
  #unreachable: {readonly error: ObjectStoreError; readonly untilMs: number} | undefined;
  readonly #scopes = new Map<string, Promise<Map<string, number>>>();

  constructor(remote: ObjectStore) {
    this.#remote = remote;
  }

  /** Size of an object, undefined when it is not there. @throws as `list()` of the remote store */
  async size(key: string): Promise<number | undefined> {
    return (await this.#scope(key)).get(key);
  }

  /** Undefined when it is not there, or when that cannot be found out now. */
  async sizeIfReachable(key: string): Promise<number | undefined> {
    try {
      return await this.size(key);
    } catch (error) {
      if (isUnreachable(error)) return undefined;
      throw error;
    }
  }

  /** The same without asking anybody; undefined when that is not known. */
  async knownSize(key: string): Promise<number | undefined> {
    const scope = this.#scopes.get(scopeOf(key));
    return scope === undefined ? undefined : (await scope.catch(() => undefined))?.get(key);
  }

  /** @throws as `list()` of the remote store */
  async list(prefix: string): Promise<readonly ListedObject[]> {
    // A prefix that reaches over several scopes is asked for as it is.
    const scope = scopeOf(prefix);
    if (!prefix.startsWith(scope) || scope === '') return this.#remote.list(prefix);
    return [...(await this.#scope(prefix))].filter(([key]) => key.startsWith(prefix)).map(([key, sizeBytes]) => ({key, sizeBytes}));
  }

  /** Looks again, at the next question. */
  refresh(prefix: string): void {
    this.#scopes.delete(scopeOf(prefix));
  }

  async stored(key: string, sizeBytes: number): Promise<void> {
    this.#unreachable = undefined;
    (await this.#scopes.get(scopeOf(key))?.catch(() => undefined))?.set(key, sizeBytes);
  }

  async removed(key: string): Promise<void> {
    (await this.#scopes.get(scopeOf(key))?.catch(() => undefined))?.delete(key);
  }

  /** A request to the remote store has failed. */
  failed(error: unknown): void {
    if (isUnreachable(error)) this.#unreachable = {error, untilMs: performance.now() + restMs};
  }

  async #scope(key: string): Promise<Map<string, number>> {
    const scope = scopeOf(key);
    const known = this.#scopes.get(scope);
    if (known !== undefined) return known;
    if (this.#unreachable !== undefined && performance.now() < this.#unreachable.untilMs) throw this.#unreachable.error;
    const listed = this.#remote.list(scope).then((objects) => new Map(objects.map((object) => [object.key, object.sizeBytes])));
    this.#scopes.set(scope, listed);
    try {
      return await listed;
    } catch (error) {
      if (this.#scopes.get(scope) === listed) this.#scopes.delete(scope);
      this.failed(error);
      throw error;
    }
  }
}

/** What is listed together: all of one app, `apps/NAME/`; of anything else the first part. */
function scopeOf(key: string): string {
  return /^apps\/[^/]+\//.exec(key)?.[0] ?? /^(?!apps\/)[^/]+\//.exec(key)?.[0] ?? '';
}

/** Two lists as one, ordered by key; of an object in both, what the second one says. */
export function merged(older: readonly ListedObject[], newer: readonly ListedObject[]): readonly ListedObject[] {
  const found = new Map([...older, ...newer].map((object) => [object.key, object]));
  return [...found.values()].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}
