/** One address space under a userfaultfd: answers its faults and fills it in bulk. Used on the fault worker only. */
import {constants} from 'node:os';
import {CodedError} from '../../core/errors.ts';
import {faultPoint} from '../../core/fault-point.ts';
import {close} from '../../core/libc.ts';
import type {Mapping} from '../../core/mapping.ts';
import {blockPages, type PageRun, type PageTable, pageSizeBytes} from '../checkpoints/page-table.ts';
import type {AddressSpace, SpaceEvent} from './address-space.ts';
import type {FirstTouches} from './first-touches.ts';
import type {ReadAhead, Stretch} from './read-ahead.ts';
import {type KernelView, UnsettledEvents} from './unsettled-events.ts';
import {copyPages, isAlive, isQuiet, registrationOf, wakeAll, wakePages, zeroPages} from './userfaultfd.ts';

const {EAGAIN, EEXIST, EINVAL, ENOENT, ENOSPC, ESRCH} = constants.errno;

/** Reads pages of an app's segments, checking them. */
export interface PageReader {
  /** @throws CodedError ERR_DAMAGED_CHECKPOINT when it is not what was written; anything else may pass */
  readPagesSync(segment: number, index: number, count: number, into: Uint8Array, offset: number): void;
}

/** Older ones are of no use any more. */
const maxToBring = 8;

/**
 * How an answer to a fault went. `again`: an event must be read first. `absent`: nothing registered is there (any more), the thread was
 * woken. `gone`: so is the process. `failed`: the kernel refused for now (memory).
 */
export type Outcome = 'stored' | 'zero' | 'present' | 'absent' | 'again' | 'gone' | 'failed';

function refusal(errno: number): Outcome {
  switch (errno) {
    case -EAGAIN:
      return 'again';
    case -EEXIST:
      return 'present';
    case -ENOENT:
    case -EINVAL:
      return 'absent';
    case -ESRCH:
    case -ENOSPC:
      return 'gone';
    default:
      return 'failed';
  }
}

/** The address space behind a descriptor, as the kernel sees it. */
export function kernelView(fd: number): KernelView {
  return {registration: (page, count) => registrationOf(fd, page, count), isQuiet: () => isQuiet(fd)};
}

export interface PagedSpace {
  readonly number: number;
  readonly vpid: number;
  readonly fd: number;
  readonly memory: AddressSpace;
}

interface PagedProcessParts {
  readonly touches: FirstTouches;
  /** Undefined when nothing is to be brought along with touches. */
  readonly readAhead: ReadAhead | undefined;
  /** Writes what was decided about events that had been in doubt to the journal. */
  readonly record: (event: SpaceEvent) => void;
}

export class PagedProcess implements Disposable {
  readonly number: number;
  /** Its pid in the container when CRIU restored it; 0 for the child of a fork. */
  readonly vpid: number;
  readonly fd: number;
  readonly memory: AddressSpace;
  readonly touches: FirstTouches;
  /** What it did to its mappings is told to this, not to `memory`. */
  readonly events: UnsettledEvents;
  readonly #record: (event: SpaceEvent) => void;
  /** Pages that are expected to be touched but were not installed, to see whether they are. */
  withheld: PageTable | undefined;
  readonly #readAhead: ReadAhead | undefined;
  /** What is to be brought along with the pages that were touched last. */
  #toBring: Stretch[] = [];
  /** What of it is being fetched. */
  #held: Stretch[] = [];
  /** Pages that were brought along. */
  brought = 0;
  #open = true;

  /** Owns the descriptor from now on. */
  constructor(process: PagedSpace & PagedProcessParts) {
    this.number = process.number;
    this.vpid = process.vpid;
    this.fd = process.fd;
    this.memory = process.memory;
    this.touches = process.touches;
    this.#record = process.record;
    this.#readAhead = process.readAhead;
    this.events = new UnsettledEvents(process.memory, kernelView(process.fd));
  }

  /** Decides what is in doubt, if it can be now. @returns whether pages can be given to the process */
  settle(): boolean {
    return this.events.settled || this.events.settle(this.#record);
  }

  /**
   * Answers a fault: the stored page, or zeros where nothing is stored.
   * @param buffer at least one block
   * @throws what `reader` throws; the fault then stays pending
   */
  serve(page: number, reader: PageReader, buffer: Mapping): Outcome {
    if (!this.settle()) return 'again';
    const at = this.memory.missing.get(page);
    if (at === undefined) return this.#zero(page);
    reader.readPagesSync(at.segment, at.index, 1, buffer.bytes, 0);
    faultPoint('pager:fault:before-copy');
    const result = copyPages(this.fd, {page, count: 1, source: buffer.address});
    const outcome = result > 0 ? 'stored' : refusal(result);
    if (outcome === 'stored' || outcome === 'present') this.memory.installed(page, 1);
    if (outcome === 'stored') {
      this.touches.add(page);
      this.#expect(this.#readAhead?.after(page));
      this.#serveWithheld(page - (page % blockPages), reader, buffer);
    }
    if (outcome === 'present' || outcome === 'absent') wakePages(this.fd, page, 1);
    return outcome;
  }

  /** One touch shows that a block is still used: its other expected pages come along, and count as touched. */
  #serveWithheld(firstPage: number, reader: PageReader, buffer: Mapping): void {
    for (const run of [...(this.withheld?.runsIn(firstPage, blockPages) ?? [])]) {
      reader.readPagesSync(run.segment, run.index, run.count, buffer.bytes, 0);
      this.install(run, buffer.address, true);
      for (let page = run.page; page < run.page + run.count; page++) this.touches.add(page);
    }
  }

  #expect(stretch: Stretch | undefined): void {
    if (stretch === undefined) return;
    if (stretch.passed !== undefined) this.touches.pass(stretch.passed);
    this.#toBring.push(stretch);
    if (this.#toBring.length > maxToBring) this.#toBring.shift();
  }

  get readsAhead(): boolean {
    return this.#readAhead !== undefined;
  }

  /** Something is to be brought along with what was touched. */
  get isBehind(): boolean {
    return this.#toBring.length > 0;
  }

  /** What `bring()` is to be called with next. */
  nextToBring(): Stretch | undefined {
    return this.#toBring.shift();
  }

  /** Keeps a stretch until what it lacks has been fetched. */
  hold(stretch: Stretch): void {
    this.#held.push(stretch);
    if (this.#held.length > maxToBring) this.#held.shift();
  }

  /** Something has been fetched: what was held is tried again. */
  takeUp(): void {
    for (const stretch of this.#held.splice(0)) this.#expect(stretch);
  }

  /**
   * Brings what goes on a sequence of touches, as far as it is stored and missing.
   * @param reader what it throws ends it: if the page is wanted, its fault meets the same error
   */
  bring({page, count}: Stretch, reader: PageReader, buffer: Mapping): void {
    for (const run of [...this.memory.missing.runsIn(page, count)]) {
      reader.readPagesSync(run.segment, run.index, run.count, buffer.bytes, 0);
      const {installed} = this.install(run, buffer.address, true);
      this.brought += installed;
      if (installed > 0) this.touches.bring(run);
    }
  }

  /** The rest of the block comes along: zero pages cost no memory, and a heap that grows would fault on each. */
  #zero(page: number): Outcome {
    const count = this.memory.zerosFrom(page, blockPages - (page % blockPages));
    let result = zeroPages(this.fd, page, count);
    // The block crosses the end of a mapping.
    if (result === -ENOENT && count > 1) result = zeroPages(this.fd, page, 1);
    if (result > 0) return 'zero';
    const outcome = refusal(result);
    if (outcome === 'present' || outcome === 'absent') wakePages(this.fd, page, 1);
    return outcome;
  }

  /**
   * Installs pages from memory before they are touched, as far as they are still missing.
   * @param source address of the first page's contents
   * @param skipAbsent go on behind a page that no mapping has; else stop there, because its mapping may come yet
   * @returns pages installed, and how it ended: `stored` when the whole run is done
   */
  install(run: PageRun, source: number, skipAbsent: boolean): {installed: number; outcome: Outcome} {
    let installed = 0;
    if (!this.settle()) return {installed, outcome: 'again'};
    for (const part of [...this.memory.missing.runsIn(run.page, run.count)]) {
      // Something else is stored there since the run was planned (mremap); it is left to its fault.
      if (part.segment !== run.segment || part.index - run.index !== part.page - run.page) continue;
      const result = this.#copyRun({page: part.page, count: part.count, source: source + (part.page - run.page) * pageSizeBytes, skipAbsent});
      installed += result.installed;
      if (result.outcome !== 'stored') return {installed, outcome: result.outcome};
    }
    return {installed, outcome: 'stored'};
  }

  #copyRun(run: {page: number; count: number; source: number; skipAbsent: boolean}): {installed: number; outcome: Outcome} {
    let installed = 0;
    // A copy must lie inside of one mapping; where it does not, ever smaller parts find the border.
    let size = run.count;
    for (let done = 0; done < run.count; ) {
      size = Math.min(size, run.count - done);
      const result = copyPages(this.fd, {page: run.page + done, count: size, source: run.source + done * pageSizeBytes});
      const outcome = result > 0 ? 'stored' : refusal(result);
      if (outcome === 'stored') {
        this.memory.installed(run.page + done, result);
        installed += result;
        done += result;
        size *= 2;
      } else if (outcome === 'present') {
        this.memory.installed(run.page + done, 1);
        done++;
      } else if (outcome === 'absent' && size > 1) {
        size >>= 1;
      } else if (outcome === 'absent' && run.skipAbsent) {
        done++;
      } else {
        return {installed, outcome};
      }
    }
    return {installed, outcome: 'stored'};
  }

  alive(): boolean {
    return isAlive(this.fd);
  }

  /** Lets all waiting threads fault again. */
  wakeAll(): void {
    wakeAll(this.fd);
  }

  /** False once it is disposed: its number may be another descriptor's by now. */
  get open(): boolean {
    return this.#open;
  }

  [Symbol.dispose](): void {
    if (this.#open) close(this.fd);
    this.#open = false;
  }
}

/** Whether a page can never be read again, so that the instance is lost, or reading may be tried again. */
export function isHopeless(error: unknown): boolean {
  return error instanceof CodedError && (error.code === 'ERR_DAMAGED_CHECKPOINT' || error.source === 'bug');
}
