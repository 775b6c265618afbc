/** Faults that could not be answered at once, one entry per process and page: a thread that a signal interrupts faults on the same page again. */
import type {AbsentPagesError} from './absent-pages.ts';
import type {PagedInstance} from './paged-instance.ts';
import type {PagedProcess} from './paged-process.ts';

export interface Fault {
  readonly instance: PagedInstance;
  readonly process: PagedProcess;
  readonly page: number;
}

/**
 * Why a fault waits. `event`: the kernel wants an event to be read first, or has no memory now. `store`: its page cannot be read.
 * `fetch`: its page is not in the local cache and somebody was asked for it.
 */
export type Reason = 'event' | 'store' | 'fetch';

export interface WaitingFault extends Fault {
  readonly reason: Reason;
  /** Tries so far. */
  readonly attempt: number;
  /** When it is tried again, unless it is told to before. */
  at: number;
  /** What is being fetched for it. */
  readonly absent: AbsentPagesError | undefined;
}

export class WaitingFaults {
  readonly #byProcess = new Map<PagedProcess, Map<number, WaitingFault>>();
  readonly #troubled = new Set<PagedInstance>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Replaces what waits for the same page. */
  add(fault: WaitingFault): void {
    const pages = this.#byProcess.get(fault.process) ?? new Map<number, WaitingFault>();
    this.#byProcess.set(fault.process, pages);
    const before = pages.get(fault.page);
    if (before === undefined) this.#size++;
    pages.set(fault.page, fault);
    count(before, -1);
    count(fault, 1);
  }

  /** The earliest time at which one is to be tried again. */
  next(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const pages of this.#byProcess.values()) for (const {at} of pages.values()) next = Math.min(next, at);
    return next;
  }

  /** Takes out those whose time has come. */
  due(now: number): WaitingFault[] {
    if (this.#size === 0) return [];
    const due: WaitingFault[] = [];
    for (const pages of this.#byProcess.values()) for (const fault of pages.values()) if (fault.at <= now) due.push(fault);
    for (const fault of due) this.#take(fault);
    return due;
  }

  /** Those that wait for a file of the cache. */
  *fetchedFrom(path: string): Generator<WaitingFault, undefined> {
    for (const pages of this.#byProcess.values()) for (const fault of pages.values()) if (fault.absent?.file.path === path) yield fault;
    return undefined;
  }

  /** Somebody is to be told that the instance waits. @returns false when that has been done */
  trouble(instance: PagedInstance): boolean {
    if (this.#troubled.has(instance)) return false;
    this.#troubled.add(instance);
    return true;
  }

  /** @returns whether somebody was told that the instance waits, and it does so no more */
  isOver(instance: PagedInstance): boolean {
    return instance.waiting === 0 && this.#troubled.delete(instance);
  }

  /** Forgets those of processes that have ended: nobody waits any more. */
  forgetClosed(): void {
    for (const [process, pages] of [...this.#byProcess]) if (!process.open) for (const fault of [...pages.values()]) this.#take(fault);
    for (const instance of [...this.#troubled]) if (instance.processes.length === 0) this.#troubled.delete(instance);
  }

  #take(fault: WaitingFault): void {
    const pages = this.#byProcess.get(fault.process);
    if (pages?.delete(fault.page) !== true) return;
    if (pages.size === 0) this.#byProcess.delete(fault.process);
    this.#size--;
    count(fault, -1);
  }
}

function count(fault: WaitingFault | undefined, by: 1 | -1): void {
  if (fault !== undefined && fault.reason !== 'event') fault.instance.waiting += by;
}
