/** What one session tracks (`track-sc0` and its like): entries of stick tables that count what the session does, and stay while it lasts. */
import type {StickEntry, StickTable} from './stick-table.ts';
import {dataChanges, type StoredDataName} from './stored-data.ts';

export const trackedCounters = 3;

interface Tracked {
  readonly table: StickTable;
  readonly entry: StickEntry;
}

export class Tracking implements Disposable {
  readonly #tracked: (Tracked | null)[] = new Array<Tracked | null>(trackedCounters).fill(null);

  /**
   * Starts to track; the first rule for a counter wins, and a full table tracks nothing.
   * @param counter 0 to 2
   * @param key made by `stickKey` for that table
   * @param of a session that tracks while its HTTP request is judged counts that request too
   */
  track(counter: number, {table, key, of}: {readonly table: StickTable; readonly key: string; readonly of: 'connection' | 'request'}): void {
    if (counter >= trackedCounters || this.#tracked[counter] !== null) return;
    const entry = table.use(key);
    if (entry === null) return;
    entry.references++;
    this.#tracked[counter] = {table, entry};
    table.add(entry, 'conn_cnt', 1);
    table.add(entry, 'conn_rate', 1);
    table.add(entry, 'conn_cur', 1);
    if (of === 'connection') return;
    table.add(entry, 'http_req_cnt', 1);
    table.add(entry, 'http_req_rate', 1);
  }

  /** The connection was let in: all that rules of connections track counts a session. */
  sessionAccepted(): void {
    this.#count('sess_cnt', 'sess_rate', 1);
  }

  httpRequest(): void {
    this.#count('http_req_cnt', 'http_req_rate', 1);
  }

  /** An error that the client made: a request that could not be read, or an answer 4xx. */
  httpError(): void {
    this.#count('http_err_cnt', 'http_err_rate', 1);
  }

  /** An error of the server: an answer 5xx but 501 and 505. */
  httpFailure(): void {
    this.#count('http_fail_cnt', 'http_fail_rate', 1);
  }

  /** From the client. */
  bytesIn(count: number): void {
    this.#count('bytes_in_cnt', 'bytes_in_rate', count);
  }

  /** To the client. */
  bytesOut(count: number): void {
    this.#count('bytes_out_cnt', 'bytes_out_rate', count);
  }

  /** Null: nothing is tracked under that number, or not that. */
  value(counter: number, what: string): number | null {
    const tracked = this.#tracked[counter] ?? null;
    if (tracked === null) return null;
    if (what === 'tracked') return 1;
    const change = dataChanges.get(what);
    return change === undefined ? tracked.table.read(tracked.entry, what) : tracked.table.change(tracked.entry, change);
  }

  /** Of `sc-inc-gpc0` and its like. */
  add(counter: number, what: StoredDataName, count: number): void {
    const tracked = this.#tracked[counter] ?? null;
    if (tracked !== null) tracked.table.add(tracked.entry, what, count);
  }

  /** False: nothing is tracked under that number, or not that. */
  set(counter: number, what: string, value: number): boolean {
    const tracked = this.#tracked[counter] ?? null;
    return tracked?.table.set(tracked.entry, what, value) === true;
  }

  /** The session is over. */
  [Symbol.dispose](): void {
    for (const tracked of this.#tracked) {
      if (tracked === null) continue;
      tracked.entry.references--;
      tracked.table.add(tracked.entry, 'conn_cur', -1);
      tracked.table.touch(tracked.entry);
    }
    this.#tracked.fill(null);
  }

  #count(total: StoredDataName, rate: StoredDataName, count: number): void {
    for (const tracked of this.#tracked) {
      if (tracked === null) continue;
      tracked.table.add(tracked.entry, total, count);
      tracked.table.add(tracked.entry, rate, count);
    }
  }
}
