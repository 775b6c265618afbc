/** Faults that could not be answered at once, one entry per process and page: a thread that a signal interrupts faults on the same page again. */
import type {AbsentPages} from './absent-pages.ts';
import type {StoreWait} from './fault-messages.ts';
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
  /** When it was first tried. */
  readonly since: number;
  /** When it is tried again, unless it is told to before. */
  at: number;
  /** What is being fetched for it. */
  readonly absent: AbsentPages | undefined;
}

/** A thread that waits longer for the store is worth a word, though nothing has failed yet. */
const tellAfterMs = 1000;

export class WaitingFaults {
  readonly #byProcess = new Map<PagedProcess, Map<number, WaitingFault>>();
  /** Those of whose waiting somebody was told, and what was wrong last. */
  readonly #troubled = new Map<PagedInstance, string>();
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
    // Whoever faults again waits since the first time.
    pages.set(fault.page, before === undefined ? fault : {...fault, since: Math.min(fault.since, before.since)});
    count(before, -1);
    count(fault, 1);
  }

  /** The earliest time at which one is to be tried again, or told of. */
  next(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const fault of this.#all()) next = Math.min(next, fault.at, this.#isUntold(fault) ? fault.since + tellAfterMs : next);
    return next;
  }

  /** Takes out those whose time has come. */
  due(now: number): WaitingFault[] {
    if (this.#size === 0) return [];
    const due: WaitingFault[] = [];
    for (const fault of this.#all()) if (fault.at <= now) due.push(fault);
    for (const fault of due) this.#take(fault);
    return due;
  }

  /** Those that wait for a file of the cache. */
  *fetchedFrom(path: string): Generator<WaitingFault, undefined> {
    for (const fault of this.#all()) if (fault.absent?.file.path === path) yield fault;
    return undefined;
  }

  /** Instances that wait for long, and nobody was told of it. */
  overdue(now: number): ReadonlySet<PagedInstance> {
    const found = new Set<PagedInstance>();
    for (const fault of this.#all()) if (this.#isUntold(fault) && fault.since + tellAfterMs <= now) found.add(fault.instance);
    return found;
  }

  #isUntold({instance, reason}: WaitingFault): boolean {
    return reason !== 'event' && !this.#troubled.has(instance);
  }

  *#all(): Generator<WaitingFault, undefined> {
    for (const pages of this.#byProcess.values()) yield* pages.values();
    return undefined;
  }

  /** Somebody is to be told that the instance waits. @returns false when that has been done */
  trouble(instance: PagedInstance, reason: string): boolean {
    const isNews = !this.#troubled.has(instance);
    this.#troubled.set(instance, reason);
    return isNews;
  }

  /** What an instance waits for now. */
  waitOf(instance: PagedInstance, now: number): StoreWait {
    if (instance.waiting === 0) return {waitingMs: null, waitingReason: null};
    let since = now;
    for (const fault of this.#all()) if (fault.instance === instance && fault.reason !== 'event') since = Math.min(since, fault.since);
    return {waitingMs: now - since, waitingReason: this.#troubled.get(instance) ?? null};
  }

  /** @returns whether somebody was told that the instance waits, and it does so no more */
  isOver(instance: PagedInstance): boolean {
    return instance.waiting === 0 && this.#troubled.delete(instance);
  }

  /** Forgets those of processes that have ended: nobody waits any more. @returns instances that had been told of, and go on */
  forgetClosed(): readonly PagedInstance[] {
    for (const [process, pages] of [...this.#byProcess]) if (!process.open) for (const fault of [...pages.values()]) this.#take(fault);
    return [...this.#troubled.keys()].filter((instance) => this.isOver(instance) && instance.processes.length > 0);
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
