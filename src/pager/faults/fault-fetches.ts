/**
 * The parts of segments that the fault worker has asked to be fetched into the local cache. Whoever wants a chunk that is on its way, whichever
 * instance it is for, shares that fetch. The worker asks by a report and is told the end by a command, so it waits for nobody.
 */
import type {InstanceId} from '../../core/ids.ts';
import {type AbsentPages, absentRanges, type ByteRange, type PartialFile} from './absent-pages.ts';

/** Of one range in a request for many pages: so much may come in one answer of the store. */
const maxRangeBytes = 1024 * 1024;

/** One range that somebody is asked for. */
export interface WantedRange extends ByteRange {
  /** Names the fetch in the command that ends it. */
  readonly id: number;
  readonly segment: number;
}

interface Fetch {
  readonly id: number;
  readonly file: PartialFile;
  readonly range: ByteRange;
  /** A thread stands still for it. */
  readonly urgent: boolean;
}

interface Wish {
  /** A thread stands still for it. */
  readonly urgent: boolean;
  /** The longest range. */
  readonly rangeBytes?: number;
}

export type FetchState = 'unknown' | 'under-way' | 'failed';

export class Fetches {
  readonly #report: (wanted: {instance: InstanceId; urgent: boolean; ranges: readonly WantedRange[]}) => void;
  readonly #fetches = new Map<number, Fetch>();
  /** By path and chunk. */
  readonly #underWay = new Map<string, Fetch>();
  readonly #failed = new Set<string>();
  #nextId = 1;

  constructor(report: (wanted: {instance: InstanceId; urgent: boolean; ranges: readonly WantedRange[]}) => void) {
    this.#report = report;
  }

  /** Ranges that were asked for and have not come yet. */
  get underWay(): number {
    return this.#fetches.size;
  }

  /** Asks in one report for what is missing, in the order given, as far as nobody has been asked for it yet. @returns whether there was such */
  want(instance: InstanceId, missing: readonly AbsentPages[], wish: Wish): boolean {
    const ranges: WantedRange[] = [];
    for (const {file, ranges: parts} of missing) for (const part of parts) ranges.push(...this.#ask(file, part, wish));
    if (ranges.length > 0) this.#report({instance, urgent: wish.urgent, ranges});
    return ranges.length > 0;
  }

  /** The worst of the chunks of a range. */
  state({file, ranges}: AbsentPages): FetchState {
    const keys = ranges.flatMap((range) => keysOf(file, range));
    if (keys.some((key) => this.#failed.has(key))) return 'failed';
    return keys.every((key) => this.#underWay.has(key)) ? 'under-way' : 'unknown';
  }

  /**
   * A fetch ended. @returns whether what it was to bring is there; undefined when nobody waits for it
   */
  ended(id: number, success: boolean): {readonly file: PartialFile; readonly arrived: boolean} | undefined {
    const fetch = this.#fetches.get(id);
    if (fetch === undefined) return undefined;
    this.#fetches.delete(id);
    const {file, range} = fetch;
    // Said to be there is not enough: it would be asked for again at once, and so on.
    const arrived = success && (file.presence === undefined || absentRanges(file.presence, [range]).length === 0);
    for (const key of keysOf(file, range)) {
      if (arrived) this.#failed.delete(key);
      if (this.#underWay.get(key) !== fetch) continue;
      this.#underWay.delete(key);
      if (!arrived) this.#failed.add(key);
    }
    return {file, arrived};
  }

  #ask(file: PartialFile, range: ByteRange, {urgent, rangeBytes = maxRangeBytes}: Wish): WantedRange[] {
    const chunkBytes = file.presence?.chunkBytes ?? range.length;
    const asked: {position: number; length: number}[] = [];
    for (let position = range.position; position < range.position + range.length; position += chunkBytes) {
      const before = this.#underWay.get(keyOf(file, position));
      // What was asked for beforehand is asked for again when somebody stands still for it.
      if (before !== undefined && (before.urgent || !urgent)) continue;
      const last = asked.at(-1);
      if (last !== undefined && last.position + last.length === position && last.length + chunkBytes <= rangeBytes) last.length += chunkBytes;
      else asked.push({position, length: chunkBytes});
    }
    return asked.map((part) => this.#begin(file, part, urgent));
  }

  #begin(file: PartialFile, range: ByteRange, urgent: boolean): WantedRange {
    const fetch: Fetch = {id: this.#nextId++, file, range, urgent};
    this.#fetches.set(fetch.id, fetch);
    for (const key of keysOf(file, range)) {
      this.#underWay.set(key, fetch);
      this.#failed.delete(key);
    }
    return {id: fetch.id, segment: file.segment, ...range};
  }
}

function keyOf(file: PartialFile, position: number): string {
  return `${position}:${file.path}`;
}

function keysOf(file: PartialFile, {position, length}: ByteRange): string[] {
  const chunkBytes = file.presence?.chunkBytes ?? length;
  return Array.from({length: Math.ceil(length / chunkBytes)}, (_, chunk) => keyOf(file, position + chunk * chunkBytes));
}
