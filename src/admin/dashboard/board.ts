/**
 * What the dashboard shows now, as items with names, each with the number of the look that found it changed: who has seen it up to one look gets
 * what has changed since. Only items that changed are sent, whatever their number.
 */
import {setImmediate as turn} from 'node:timers/promises';

const itemsAtATime = 250;

export interface BoardChange {
  readonly version: number;
  /** The JSON of each item that is new or has changed. */
  readonly set: ReadonlyMap<string, string>;
  readonly gone: readonly string[];
}

interface Item {
  readonly json: string;
  readonly version: number;
}

export class Board {
  readonly #items = new Map<string, Item>();
  /** Names of items that are there no more, and since which look. As many as there were different names. */
  readonly #gone = new Map<string, number>();
  #version = 0;

  get version(): number {
    return this.#version;
  }

  /** Replaces everything, letting others go on meanwhile; one at a time. @param items named values that JSON can express */
  async replace(items: Iterable<readonly [name: string, value: unknown]>): Promise<void> {
    const version = this.#version + 1;
    const left = new Set(this.#items.keys());
    let hasChanged = false;
    let done = 0;
    for (const [name, value] of items) {
      if (++done % itemsAtATime === 0) await turn();
      left.delete(name);
      const json = JSON.stringify(value);
      if (this.#items.get(name)?.json === json) continue;
      this.#items.set(name, {json, version});
      this.#gone.delete(name);
      hasChanged = true;
    }
    for (const name of left) {
      this.#items.delete(name);
      this.#gone.set(name, version);
    }
    if (hasChanged || left.size > 0) this.#version = version;
  }

  /** @param seen the version up to which everything is known; 0: nothing is */
  since(seen: number): BoardChange {
    const set = new Map<string, string>();
    for (const [name, {json, version}] of this.#items) if (version > seen) set.set(name, json);
    const gone = seen === 0 ? [] : [...this.#gone].flatMap(([name, version]) => (version > seen ? [name] : []));
    return {version: this.#version, set, gone};
  }

  /** Forgets all: nobody looks any more. */
  clear(): void {
    this.#items.clear();
    this.#gone.clear();
  }
}
