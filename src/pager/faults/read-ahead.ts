/**
 * Sequential read-ahead, as the kernel does it for files: a process that faults one page after the other gets the next ones before it asks. Several
 * streams at once, upwards and downwards; a window that begins small, doubles while the stream goes on, and begins smaller when others were in vain.
 * Pure data: knows nothing of what is stored.
 */

import {blockPages} from '../checkpoints/page-table.ts';
import type {PageRange} from '../prediction/page-set.ts';

const maxStreams = 8;
/** A stream that leaves out less is the same stream: pages in between may be in the process already, or not be stored. */
const maxGap = 4;
const inRow = 3;
const firstWindow = 4;
const maxWindow = blockPages;

interface Stream {
  readonly direction: 1 | -1;
  /** The page that the next fault would be on. */
  next: number;
  faults: number;
  /** Pages that were brought last. */
  window: number;
}

/** Pages on the way of a stream. */
export interface Stretch extends PageRange {
  readonly direction: 1 | -1;
  /** What was brought before it: the stream has gone past it, so it was touched. */
  readonly passed: PageRange | undefined;
}

export class ReadAhead {
  /** The one that went on last comes last. */
  #streams: Stream[] = [];
  /** Pages that were brought and led to the fault behind them; and those that did not. */
  #used = 0;
  #inVain = 0;

  /** @returns the pages to bring after a fault on `page` */
  after(page: number): Stretch | undefined {
    const stream = this.#streams.find(({direction, next}) => (page - next) * direction >= 0 && (page - next) * direction < maxGap);
    if (stream === undefined) {
      this.#begin(page);
      return undefined;
    }
    this.#streams = [...this.#streams.filter((other) => other !== stream && !isTwin(other, page)), stream];
    stream.faults++;
    this.#used += stream.window;
    const passed = stream.window === 0 ? undefined : {page: stream.direction === 1 ? stream.next - stream.window : stream.next + 1, count: stream.window};
    if (stream.window > 0) stream.window = Math.min(maxWindow, stream.window * 2);
    else if (stream.faults >= this.#faultsNeeded()) stream.window = firstWindow;
    stream.next = page + stream.direction * (stream.window + 1);
    if (stream.window === 0) return undefined;
    const first = stream.direction === 1 ? page + 1 : Math.max(0, page - stream.window);
    return {page: first, count: stream.window, direction: stream.direction, passed};
  }

  #begin(page: number): void {
    for (const direction of [1, -1] as const) this.#streams.push({direction, next: page + direction, faults: 1, window: 0});
    for (const {window} of this.#streams.splice(0, Math.max(0, this.#streams.length - 2 * maxStreams))) this.#inVain += window;
  }

  /** Where streams end soon, they have to last longer before they are believed. */
  #faultsNeeded(): number {
    return this.#inVain > 2 * maxWindow && this.#inVain * 3 > this.#used ? 4 * inRow : inRow;
  }
}

/** The other direction of the fault that a stream began with. */
function isTwin({window, faults, next, direction}: Stream, page: number): boolean {
  return window === 0 && faults === 1 && Math.abs(next - direction - page) <= maxGap;
}
