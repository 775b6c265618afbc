/**
 * The journal of one instance: what its processes did to their mappings since the restore, so that a pager that takes over after a
 * kill -9 can build every address space again. Records are appended with one write(2) before the next fault is served.
 *
 * A record carries its place in the stream of messages (batch, index), so that the messages of a batch that was cut short are applied
 * exactly once: see event-window.ts.
 */
import {closeSync, fstatSync, openSync, readFileSync, rmSync, writeSync} from 'node:fs';
import {CodedError} from '../../core/errors.ts';
import type {SpaceEvent} from './address-space.ts';

/** `process`: the space is that of a restored process. `restored`: CRIU has finished. */
export type JournalEvent =
  | SpaceEvent
  | {readonly kind: 'fork'; readonly child: number}
  | {readonly kind: 'process'; readonly vpid: number}
  | {readonly kind: 'restored'};

export interface JournalRecord {
  /** Number of the address space. */
  readonly space: number;
  readonly batch: number;
  readonly index: number;
  readonly event: JournalEvent;
}

const recordBytes = 40;
const kindNumber = {drop: 1, move: 2, fork: 3, restored: 4, process: 5, put: 6} as const;

export function encodeRecord(record: JournalRecord): Buffer {
  const data = Buffer.alloc(recordBytes);
  const {event} = record;
  data.writeUInt32LE(kindNumber[event.kind], 0);
  data.writeUInt32LE(record.space, 4);
  data.writeUInt32LE(record.batch, 8);
  data.writeUInt32LE(record.index, 12);
  switch (event.kind) {
    case 'drop':
      data.writeDoubleLE(event.page, 16);
      data.writeDoubleLE(event.count, 32);
      return data;
    case 'move':
      data.writeDoubleLE(event.from, 16);
      data.writeDoubleLE(event.to, 24);
      data.writeDoubleLE(event.count, 32);
      return data;
    case 'put':
      data.writeDoubleLE(event.run.page, 16);
      data.writeDoubleLE(event.run.index, 24);
      data.writeUInt32LE(event.run.count, 32);
      data.writeUInt32LE(event.run.segment, 36);
      return data;
    case 'fork':
      data.writeDoubleLE(event.child, 16);
      return data;
    case 'process':
      data.writeDoubleLE(event.vpid, 16);
      return data;
    case 'restored':
      return data;
    default:
      return event satisfies never;
  }
}

function decodeEvent(data: Buffer, at: number): JournalEvent {
  const first = data.readDoubleLE(at + 16);
  const count = data.readDoubleLE(at + 32);
  const kind = data.readUInt32LE(at);
  switch (kind) {
    case kindNumber.drop:
      return {kind: 'drop', page: first, count};
    case kindNumber.move:
      return {kind: 'move', from: first, to: data.readDoubleLE(at + 24), count};
    case kindNumber.put: {
      const [index, pages, segment] = [data.readDoubleLE(at + 24), data.readUInt32LE(at + 32), data.readUInt32LE(at + 36)];
      return {kind: 'put', run: {page: first, count: pages, segment, index, lazy: true}};
    }
    case kindNumber.fork:
      return {kind: 'fork', child: first};
    case kindNumber.process:
      return {kind: 'process', vpid: first};
    case kindNumber.restored:
      return {kind: 'restored'};
    default:
      throw new CodedError('ERR_BAD_JOURNAL', `Cannot read a journal of page events: record of kind ${kind} at ${at}`, {source: 'host'});
  }
}

/** @throws CodedError ERR_BAD_JOURNAL on anything but whole, known records */
export function decodeRecords(data: Buffer): JournalRecord[] {
  if (data.length % recordBytes !== 0) {
    throw new CodedError('ERR_BAD_JOURNAL', `Cannot read a journal of page events: ${data.length} bytes are no whole records`, {source: 'host'});
  }
  const records: JournalRecord[] = [];
  for (let at = 0; at < data.length; at += recordBytes) {
    records.push({space: data.readUInt32LE(at + 4), batch: data.readUInt32LE(at + 8), index: data.readUInt32LE(at + 12), event: decodeEvent(data, at)});
  }
  return records;
}

/** @throws CodedError ERR_BAD_JOURNAL, or the error of reading the file */
export function readJournal(path: string): JournalRecord[] {
  return decodeRecords(readFileSync(path));
}

/** Open for appending, created when absent. Synchronous, for the fault worker. */
export class EventJournal implements Disposable {
  readonly #path: string;
  #fd: number | undefined;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, 'a', 0o600);
  }

  /**
   * Appends one record. When that fails (a full disk), the journal is removed: it would lie. The instance goes on, but cannot be taken over
   * by another pager any more.
   * @returns false when the journal is lost
   */
  append(record: JournalRecord): boolean {
    if (this.#fd === undefined) return false;
    try {
      if (writeSync(this.#fd, encodeRecord(record)) === recordBytes) return true;
    } catch {
      // Which error it was changes nothing; the caller reports that the journal is lost.
    }
    rmSync(this.#path, {force: true});
    this[Symbol.dispose]();
    return false;
  }

  get sizeBytes(): number {
    return this.#fd === undefined ? 0 : fstatSync(this.#fd).size;
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
