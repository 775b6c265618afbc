/**
 * A local stick table (HAProxy manual, `stick-table`): bounded, entries expire, and when it is full the one that was used longest ago makes
 * room, unless it is being tracked or the table says `nopurge`.
 */
import type {StickTableConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import {Frequency} from './frequency.ts';
import {type DataChange, initialData, namesOfField, readData, type StoredData, type StoredDataName, type StoredField, storedFields} from './stored-data.ts';

export interface StickEntry {
  /** Unlike that of any other entry of the table. */
  readonly id: number;
  readonly key: string;
  /** In the order of the table's fields. */
  readonly data: StoredData[];
  expiresAtMs: number;
  /** Sessions that track it: it is neither purged nor does it expire. */
  references: number;
}

/** How many of the least recently used entries are looked at for one that may go. */
const maxPurgeSteps = 64;

export class StickTable implements Disposable {
  readonly name: string;
  readonly config: StickTableConfig;
  readonly fields: readonly StoredField[];
  readonly #clock: Clock;
  /** In the order of their last use. */
  readonly #entries = new Map<string, StickEntry>();
  readonly #fieldIndexes: ReadonlyMap<string, number>;
  #lastId = 0;
  #cancelSweep: (() => void) | null = null;

  /** @param options.forPersistence rules `stick` store servers in it */
  constructor(options: {readonly name: string; readonly config: StickTableConfig; readonly clock: Clock; readonly forPersistence: boolean}) {
    this.name = options.name;
    this.config = options.config;
    this.#clock = options.clock;
    this.fields = storedFields(options.config, options);
    this.#fieldIndexes = new Map(this.fields.flatMap(({name}, index) => namesOfField(name).map((known) => [known, index] as const)));
  }

  /** Entries that exist. */
  get used(): number {
    return this.#entries.size;
  }

  /** The entry of a key, which does not count as its use; null: there is none. */
  find(key: string): StickEntry | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    if (!this.#isExpired(entry, this.#clock.monotonicMs())) return entry;
    this.#entries.delete(key);
    return null;
  }

  /** The entry of a key, made when there is none; null: the table is full. */
  use(key: string): StickEntry | null {
    const found = this.find(key);
    if (found !== null) {
      this.touch(found);
      return found;
    }
    if (this.#entries.size >= this.config.size && !this.#makeRoom()) return null;
    const entry: StickEntry = {id: ++this.#lastId, key, data: this.fields.map(initialData), expiresAtMs: this.#nextExpiryMs(), references: 0};
    this.#entries.set(key, entry);
    this.#cancelSweep ??= this.#scheduleSweep();
    return entry;
  }

  /** Counts as a use: the entry expires later. */
  touch(entry: StickEntry): void {
    entry.expiresAtMs = this.#nextExpiryMs();
    if (this.#entries.get(entry.key) !== entry) return;
    this.#entries.delete(entry.key);
    this.#entries.set(entry.key, entry);
  }

  /** All names of what it stores. */
  get storedNames(): readonly string[] {
    return [...this.#fieldIndexes.keys()];
  }

  stores(what: string): boolean {
    return this.#fieldIndexes.has(what);
  }

  /** @param what a field, `kbytes_in`, `kbytes_out` or `trackers`. Null: the table does not store that */
  read(entry: StickEntry, what: string): number | null {
    if (what === 'trackers') return entry.references;
    if (what === 'kbytes_in' || what === 'kbytes_out') {
      const bytes = this.read(entry, what === 'kbytes_in' ? 'bytes_in_cnt' : 'bytes_out_cnt');
      return bytes === null ? null : Math.floor(bytes / 1024);
    }
    const data = entry.data[this.#fieldIndexes.get(what) ?? -1];
    return data === undefined ? null : readData(data, this.#clock.monotonicMs());
  }

  /** Does what a fetch such as `inc_gpc0` says. Yields the new number, 0 when the table stores nothing of it; of one that is cleared, what it was, if it is stored. */
  change(entry: StickEntry, {how, what, rate}: DataChange): number | null {
    const count = this.read(entry, what);
    if (how === 'clear') {
      this.set(entry, what, 0);
      return count;
    }
    this.add(entry, what, 1);
    this.add(entry, rate, 1);
    return this.read(entry, count === null ? rate : what) ?? 0;
  }

  /** Counts; nothing happens when the table does not store that. */
  add(entry: StickEntry, what: StoredDataName, count: number): void {
    const index = this.#fieldIndexes.get(what) ?? -1;
    const data = entry.data[index];
    if (data === undefined) return;
    if (typeof data === 'number') entry.data[index] = Math.max(0, data + count);
    else data.add(count, this.#clock.monotonicMs());
  }

  /** False: the table does not store that. */
  set(entry: StickEntry, what: string, value: number): boolean {
    const index = this.#fieldIndexes.get(what) ?? -1;
    const data = entry.data[index];
    if (data === undefined) return false;
    if (data instanceof Frequency) data.set(value, this.#clock.monotonicMs());
    else entry.data[index] = value;
    return true;
  }

  /** False: a session tracks it, so it stays. */
  remove(entry: StickEntry): boolean {
    if (entry.references > 0) return false;
    return this.#entries.get(entry.key) === entry && this.#entries.delete(entry.key);
  }

  /** Those that have not expired. */
  *entries(): Iterable<StickEntry> {
    const nowMs = this.#clock.monotonicMs();
    for (const entry of this.#entries.values()) if (!this.#isExpired(entry, nowMs)) yield entry;
  }

  [Symbol.dispose](): void {
    this.#cancelSweep?.();
    this.#cancelSweep = null;
    this.#entries.clear();
  }

  #isExpired(entry: StickEntry, nowMs: number): boolean {
    return entry.references === 0 && entry.expiresAtMs <= nowMs;
  }

  #nextExpiryMs(): number {
    return this.#clock.monotonicMs() + (this.config.expireMs ?? Number.POSITIVE_INFINITY);
  }

  #makeRoom(): boolean {
    if (this.config.noPurge) return this.#sweep() > 0;
    let steps = 0;
    for (const entry of this.#entries.values()) {
      if (entry.references === 0) return this.#entries.delete(entry.key);
      if (++steps >= maxPurgeSteps) return false;
    }
    return false;
  }

  /** Removes what has expired; returns how many. Entries are in the order of their expiry, but for those that were tracked. */
  #sweep(): number {
    const nowMs = this.#clock.monotonicMs();
    let removed = 0;
    for (const entry of this.#entries.values()) {
      if (entry.references > 0) continue;
      if (entry.expiresAtMs > nowMs) break;
      this.#entries.delete(entry.key);
      removed++;
    }
    return removed;
  }

  /** Memory of entries that nobody asks for is given back, late by a tenth of their time at most. */
  #scheduleSweep(): (() => void) | null {
    const {expireMs} = this.config;
    if (expireMs === null) return null;
    return this.#clock.after(Math.min(Math.max(expireMs / 10, 100), 60_000), () => {
      this.#sweep();
      this.#cancelSweep = this.#entries.size === 0 ? null : this.#scheduleSweep();
    });
  }
}
