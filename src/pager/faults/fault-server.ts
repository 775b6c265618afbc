/**
 * Answers faults, and keeps those that cannot be answered now until they can. It never waits itself: a fault on one page stands back, and
 * the others, of all apps, go on.
 */
import {errorMessage} from '../../core/errors.ts';
import {faultPoint} from '../../core/fault-point.ts';
import {mapAnonymous} from '../../core/mapping.ts';
import {DamagedCheckpointError} from '../checkpoints/damage.ts';
import {blockPages, pageSizeBytes} from '../checkpoints/page-table.ts';
import {type AbsentPages, AbsentPagesError} from './absent-pages.ts';
import {Fetches} from './fault-fetches.ts';
import type {StoreWait} from './fault-messages.ts';
import {type Fault, type WaitingFault, WaitingFaults} from './fault-waiting.ts';
import {absentBehind, guessedRangeBytes, wantedAhead} from './fetch-ahead.ts';
import type {PagedInstance, Report} from './paged-instance.ts';
import {isHopeless, type PagedProcess} from './paged-process.ts';
import type {Stretch} from './read-ahead.ts';

/** Tries without a pause while the kernel says that an event must be read first. */
const eagerAttempts = 64;
const memoryDelayMs = 5;
const storeDelayMs = {first: 10, limit: 1000} as const;

/** Whatever else is under way was asked for with better reason, and the store is asked for no more than some dozens of ranges at a time. */
const guessWhileUnderWay = 16;

type Tries = Pick<WaitingFault, 'attempt' | 'since'>;
type TriedFault = Fault & Tries;

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
  /** Those to which it cannot be brought before it is fetched. */
  readonly #held = new Map<PagedProcess, PagedInstance>();
  /** Instances whose segments were not complete in the local cache. */
  readonly #partial = new WeakSet<PagedInstance>();

  /** @param gone is called when a fault shows that its process has ended */
  constructor(report: Report, gone: (instance: PagedInstance, process: PagedProcess) => void) {
    this.#report = report;
    this.#gone = gone;
    this.fetches = new Fetches((wanted) => report({kind: 'wanted', ...wanted}));
  }

  serve(instance: PagedInstance, process: PagedProcess, page: number): void {
    this.#serve(instance, process, page, undefined);
  }

  /** @param before when it has been tried before */
  #serve(instance: PagedInstance, process: PagedProcess, page: number, before: Tries | undefined): void {
    if (!process.open) return;
    const started = performance.now();
    const tried = (): TriedFault => ({instance, process, page, attempt: (before?.attempt ?? 0) + 1, since: before?.since ?? started});
    try {
      switch (process.serve(page, instance.reader, this.buffer)) {
        case 'stored':
          instance.faults++;
          if (process.isBehind) this.#behind.set(process, instance);
          instance.times.add((performance.now() - (before?.since ?? started)) * 1000);
          return;
        case 'zero':
          instance.zeroFaults++;
          return;
        case 'present':
        case 'absent':
          return;
        case 'again':
          this.#wait(tried(), 'event', (before?.attempt ?? 0) < eagerAttempts ? 0 : started + 1);
          return;
        case 'failed':
          this.#wait(tried(), 'event', started + memoryDelayMs);
          return;
        case 'gone':
          this.#gone(instance, process);
          return;
        default:
          return;
      }
    } catch (error) {
      if (error instanceof AbsentPagesError) this.#fetch(tried(), error);
      else this.#unreadable(tried(), error);
    }
  }

  /** Tries again what is due. */
  retry(): void {
    if (this.#waiting.size === 0) return;
    const now = performance.now();
    for (const fault of this.#waiting.due(now)) {
      const {instance, process, page, reason} = fault;
      this.#serve(instance, process, page, fault);
      if (reason !== 'event' && this.#waiting.isOver(instance)) this.#resumed(instance);
    }
    for (const instance of this.#waiting.overdue(now)) this.#trouble(instance, 'the store has not answered for a second');
  }

  /** What an instance waits for now. */
  waitOf(instance: PagedInstance): StoreWait {
    return this.#waiting.waitOf(instance, performance.now());
  }

  get isBehind(): boolean {
    return this.#behind.size > 0;
  }

  /** Brings a block to each process that is behind. */
  bring(): void {
    for (const [process, instance] of [...this.#behind]) {
      const stretch = process.open ? process.nextToBring() : undefined;
      if (stretch !== undefined) this.#bring(instance, process, stretch);
      if (!process.open || !process.isBehind) this.#behind.delete(process);
    }
  }

  #bring(instance: PagedInstance, process: PagedProcess, stretch: Stretch): void {
    let absent: AbsentPages | undefined;
    try {
      process.bring(stretch, instance.reader, this.buffer);
    } catch (error) {
      if (error instanceof AbsentPagesError) absent = error;
    }
    if (instance.guesses.confirm(process.number, stretch) || absent !== undefined) this.#partial.add(instance);
    if (!this.#partial.has(instance)) return;
    this.#fetchAhead(instance, process, stretch);
    if (absent === undefined || this.fetches.state(absent) !== 'under-way') return;
    process.hold(stretch);
    this.#held.set(process, instance);
  }

  #fetchAhead({id, reader}: PagedInstance, {memory}: PagedProcess, stretch: Stretch): void {
    try {
      const way = {missing: memory.missing, absent: reader.absent.bind(reader), state: this.fetches.state.bind(this.fetches)};
      this.fetches.want(id, wantedAhead(stretch, way), {urgent: false});
    } catch {
      // Whoever needs one of these pages meets the same error.
    }
  }

  /** When the next try is due, or somebody is to be told that it takes long. */
  nextRetry(): number {
    return this.#waiting.size === 0 ? Number.POSITIVE_INFINITY : this.#waiting.next();
  }

  /** A fetch has ended, well or not. */
  fetchEnded(id: number, failure: string | undefined): void {
    const ended = this.fetches.ended(id, failure === undefined);
    if (ended === undefined) return;
    faultPoint('pager:fetch:arrived');
    this.#takeUp();
    const now = performance.now();
    for (const fault of this.#waiting.fetchedFrom(ended.file.path)) {
      if (fault.absent === undefined || this.fetches.state(fault.absent) === 'under-way') continue;
      fault.at = ended.arrived ? 0 : now + backOffMs(fault.attempt - 1);
      if (!ended.arrived) this.#trouble(fault.instance, failure ?? 'what was fetched is not in the local cache');
    }
  }

  #takeUp(): void {
    for (const [process, instance] of this.#held) {
      process.takeUp();
      if (process.isBehind) this.#behind.set(process, instance);
    }
    this.#held.clear();
  }

  /** Forgets the faults of processes that have ended. */
  forgetClosed(): void {
    for (const process of this.#held.keys()) if (!process.open) this.#held.delete(process);
    for (const instance of this.#waiting.forgetClosed()) this.#resumed(instance);
  }

  #wait(fault: TriedFault, reason: WaitingFault['reason'], at: number, absent?: AbsentPages): void {
    this.#waiting.add({...fault, reason, at, absent});
  }

  #fetch(fault: TriedFault, absent: AbsentPages): void {
    faultPoint('pager:fetch:wanted');
    this.#wait(fault, 'fetch', Number.POSITIVE_INFINITY, absent);
    const isNew = this.fetches.state(absent) === 'unknown';
    this.fetches.want(fault.instance.id, [absent], {urgent: true});
    if (isNew) this.#guess(fault, absent.file.segment);
  }

  /** Asks for what lies behind a fault together with what it waits for: three in a row, which prove a stream, come a round trip later. */
  #guess({instance, process, page}: Fault, segment: number): void {
    const {memory} = process;
    // Of what is read from a copy all is on its way, since it was expected.
    const isCopy = memory.missing.get(page)?.segment !== segment;
    if (isCopy || !process.readsAhead || !instance.guesses.areTrusted || this.fetches.underWay > guessWhileUnderWay) return;
    try {
      const behind = absentBehind(page, {missing: memory.missing, absent: instance.reader.absentOriginals.bind(instance.reader)});
      if (this.fetches.want(instance.id, behind, {urgent: false, rangeBytes: guessedRangeBytes})) instance.guesses.add({space: process.number, page});
    } catch {
      // As in #fetchAhead.
    }
  }

  /** The thread goes on waiting: for the store to come back, or to be killed. */
  #unreadable(fault: TriedFault, error: unknown): void {
    if (isHopeless(error)) {
      fault.instance.lose(errorMessage(error), error instanceof DamagedCheckpointError);
      return;
    }
    this.#wait(fault, 'store', performance.now() + backOffMs(fault.attempt - 1));
    this.#trouble(fault.instance, errorMessage(error));
  }

  #trouble(instance: PagedInstance, reason: string): void {
    if (this.#waiting.trouble(instance, reason)) this.#report({kind: 'waiting', instance: instance.id, reason});
  }

  #resumed({id}: PagedInstance): void {
    this.#report({kind: 'resumed', instance: id});
  }

  [Symbol.dispose](): void {
    this.buffer[Symbol.dispose]();
  }
}
