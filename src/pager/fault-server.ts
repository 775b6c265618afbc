/**
 * Answers faults, and keeps those that cannot be answered now until they can. It never waits itself: a fault on one page stands back, and
 * the others, of all apps, go on.
 */
import {errorMessage} from '../core/errors.ts';
import {faultPoint} from '../core/fault-point.ts';
import {AbsentPagesError} from './absent-pages.ts';
import {Fetches} from './fault-fetches.ts';
import {type Fault, type WaitingFault, WaitingFaults} from './fault-waiting.ts';
import {mapAnonymous} from './mapping.ts';
import {blockPages, pageSizeBytes} from './page-table.ts';
import type {PagedInstance, Report} from './paged-instance.ts';
import {isHopeless, type PagedProcess} from './paged-process.ts';

/** Tries without a pause while the kernel says that an event must be read first. */
const eagerAttempts = 64;
const memoryDelayMs = 5;
const storeDelayMs = {first: 10, limit: 1000} as const;

/** With jitter: many that failed together are not to come back together. */
function backOffMs(attempt: number): number {
  return Math.min(storeDelayMs.limit, storeDelayMs.first * 2 ** Math.min(attempt, 10)) * (0.5 + Math.random() / 2);
}

export class FaultServer implements Disposable {
  readonly fetches: Fetches;
  /** For the contents of one block. */
  readonly buffer = mapAnonymous(blockPages * pageSizeBytes);
  readonly #report: Report;
  readonly #gone: (instance: PagedInstance, process: PagedProcess) => void;
  readonly #waiting = new WaitingFaults();
  /** Processes to which something is to be brought along with what they touched. */
  readonly #behind = new Map<PagedProcess, PagedInstance>();

  /** @param gone is called when a fault shows that its process has ended */
  constructor(report: Report, gone: (instance: PagedInstance, process: PagedProcess) => void) {
    this.#report = report;
    this.#gone = gone;
    this.fetches = new Fetches((wanted) => report({kind: 'wanted', ...wanted}));
  }

  serve(instance: PagedInstance, process: PagedProcess, page: number, attempt = 0): void {
    if (!process.open) return;
    const started = performance.now();
    try {
      switch (process.serve(page, instance.reader, this.buffer)) {
        case 'stored':
          instance.faults++;
          if (process.isBehind) this.#behind.set(process, instance);
          instance.times.add((performance.now() - started) * 1000);
          return;
        case 'zero':
          instance.zeroFaults++;
          return;
        case 'present':
        case 'absent':
          return;
        case 'again':
          this.#wait({instance, process, page, attempt}, 'event', attempt < eagerAttempts ? 0 : started + 1);
          return;
        case 'failed':
          this.#wait({instance, process, page, attempt}, 'event', started + memoryDelayMs);
          return;
        case 'gone':
          this.#gone(instance, process);
          return;
        default:
          return;
      }
    } catch (error) {
      if (error instanceof AbsentPagesError) this.#fetch({instance, process, page, attempt}, error);
      else this.#unreadable({instance, process, page, attempt}, error);
    }
  }

  /** Tries again what is due. */
  retry(): void {
    if (this.#waiting.size === 0) return;
    for (const {instance, process, page, attempt, reason} of this.#waiting.due(performance.now())) {
      this.serve(instance, process, page, attempt);
      if (reason !== 'event' && this.#waiting.isOver(instance)) this.#report({kind: 'resumed', instance: instance.id});
    }
  }

  get isBehind(): boolean {
    return this.#behind.size > 0;
  }

  /** Brings a block to each process that is behind. */
  bring(): void {
    for (const [process, instance] of [...this.#behind]) {
      try {
        if (process.open) process.bring(instance.reader, this.buffer);
      } catch (error) {
        if (error instanceof AbsentPagesError) this.fetches.want(instance.id, [error], {urgent: false});
      }
      if (!process.open || !process.isBehind) this.#behind.delete(process);
    }
  }

  /** When the next try is due. */
  nextRetry(): number {
    return this.#waiting.size === 0 ? Number.POSITIVE_INFINITY : this.#waiting.next();
  }

  /** A fetch has ended, well or not. */
  fetchEnded(id: number, failure: string | undefined): void {
    const ended = this.fetches.ended(id, failure === undefined);
    if (ended === undefined) return;
    faultPoint('pager:fetch:arrived');
    const now = performance.now();
    for (const fault of this.#waiting.fetchedFrom(ended.file.path)) {
      if (fault.absent === undefined || this.fetches.state(fault.absent) === 'under-way') continue;
      fault.at = ended.arrived ? 0 : now + backOffMs(fault.attempt);
      if (!ended.arrived) this.#trouble(fault.instance, failure ?? 'what was fetched is not in the local cache');
    }
  }

  /** Forgets the faults of processes that have ended. */
  forgetClosed(): void {
    this.#waiting.forgetClosed();
  }

  #wait(fault: Fault & {readonly attempt: number}, reason: WaitingFault['reason'], at: number, absent?: AbsentPagesError): void {
    this.#waiting.add({...fault, attempt: fault.attempt + 1, reason, at, absent});
  }

  #fetch(fault: Fault & {readonly attempt: number}, absent: AbsentPagesError): void {
    faultPoint('pager:fetch:wanted');
    this.#wait(fault, 'fetch', Number.POSITIVE_INFINITY, absent);
    this.fetches.want(fault.instance.id, [absent], {urgent: true});
  }

  /** The thread goes on waiting: for the store to come back, or to be killed. */
  #unreadable(fault: Fault & {readonly attempt: number}, error: unknown): void {
    if (isHopeless(error)) {
      fault.instance.lose(errorMessage(error));
      return;
    }
    this.#wait(fault, 'store', performance.now() + backOffMs(fault.attempt));
    this.#trouble(fault.instance, errorMessage(error));
  }

  #trouble(instance: PagedInstance, reason: string): void {
    if (this.#waiting.trouble(instance)) this.#report({kind: 'waiting', instance: instance.id, reason});
  }

  [Symbol.dispose](): void {
    this.buffer[Symbol.dispose]();
  }
}
