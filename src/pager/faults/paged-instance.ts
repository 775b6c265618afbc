/** The processes of one instance under the fault worker: their descriptors, events, journal and prefetch. */
import {faultPoint} from '../../core/fault-point.ts';
import type {InstanceId} from '../../core/ids.ts';
import type {PageRun, PageTable} from '../checkpoints/page-table.ts';
import {decodePageTable} from '../checkpoints/page-table-codec.ts';
import {SegmentReader} from '../checkpoints/segment-reader.ts';
import {AddressSpace, type SpaceEvent} from './address-space.ts';
import {EventJournal, type JournalEvent} from './event-journal.ts';
import type {Fetches} from './fault-fetches.ts';
import type {Expectation, FaultReport, InstancePlan, InstanceStats, PreparedInstance, ProcessTable, StoreWait} from './fault-messages.ts';
import {FaultTimes} from './fault-times.ts';
import {Guesses} from './fetch-ahead.ts';
import {FirstTouches, TouchWindow} from './first-touches.ts';
import {LazySocket} from './lazy-socket.ts';
import {kernelView, PagedProcess, type PagedSpace} from './paged-process.ts';
import {ParkingLot} from './parking.ts';
import {Prefetch} from './prefetch.ts';
import {ReadAhead} from './read-ahead.ts';
import type {ReadAheadMemory} from './read-ahead-memory.ts';
import type {FaultMessage} from './userfaultfd.ts';

/** Gives every address space of the worker a number of its own; 0 means none. */
export class SpaceNumbers {
  #last = 0;

  next(): number {
    return ++this.#last;
  }

  /** Leaves out a number that another pager gave. */
  use(taken: number): void {
    this.#last = Math.max(this.#last, taken);
  }
}

export type Report = (report: FaultReport) => void;

export function decodeTables(tables: readonly ProcessTable[]): Map<number, PageTable> {
  return new Map(tables.map(({vpid, table}) => [vpid, decodePageTable(Buffer.from(table.buffer, table.byteOffset, table.byteLength))]));
}

export function spaceEvent(message: FaultMessage): Exclude<SpaceEvent, {kind: 'put'}> | undefined {
  switch (message.kind) {
    case 'remove':
    case 'unmap':
      return {kind: 'drop', page: message.page, count: message.count};
    case 'remap':
      return {kind: 'move', from: message.from, to: message.to, count: message.count};
    default:
      return undefined;
  }
}

/** What all instances of the worker share. */
export interface Worker {
  readonly report: Report;
  readonly numbers: SpaceNumbers;
  readonly fetches: Fetches;
  readonly memory: ReadAheadMemory;
}

export class PagedInstance implements Disposable {
  readonly id: InstanceId;
  readonly reader: SegmentReader;
  readonly times = new FaultTimes();
  readonly guesses = new Guesses();
  readonly #report: Report;
  readonly #numbers: SpaceNumbers;
  readonly #fetches: Fetches;
  readonly #memory: ReadAheadMemory;
  readonly #readsAhead: boolean;
  readonly #tables: ReadonlyMap<number, PageTable>;
  /** Of processes that CRIU is still to hand over. */
  readonly #spaces = new Map<number, AddressSpace>();
  readonly #processes = new Map<number, PagedProcess>();
  readonly #journal: EventJournal;
  #withheld: ReadonlyMap<number, PageTable> = new Map();
  #lot: ParkingLot;
  #parked = 0;
  readonly #touchWindow = new TouchWindow();
  #touches: {vpid: number; touches: FirstTouches}[] = [];
  #complete = true;
  #warned = false;
  #lost = false;
  #restored = false;
  #prefetched = 0;
  #expectedAt = 0;
  #prefetchMs: number | null = null;
  /** Of processes that are gone. */
  #brought = 0;
  socket: LazySocket | undefined;
  prefetch: Prefetch | undefined;
  faults = 0;
  zeroFaults = 0;
  waiting = 0;

  constructor(plan: InstancePlan, worker: Worker) {
    this.id = plan.instance;
    this.#report = worker.report;
    this.#numbers = worker.numbers;
    this.#fetches = worker.fetches;
    this.#memory = worker.memory;
    this.reader = new SegmentReader({segments: plan.segments, copies: plan.copies});
    this.#readsAhead = plan.readAhead ?? true;
    this.#tables = decodeTables(plan.tables);
    this.#lot = new ParkingLot(plan.parking);
    this.#journal = new EventJournal(plan.journalPath);
  }

  /** Awaits CRIU. @throws the error of listening */
  listen(plan: PreparedInstance): void {
    this.socket = new LazySocket(plan.socketDir, (socket) => this.#lot.keepOpen(socket));
    // Not when CRIU hands a process over: then it is wanted.
    for (const vpid of this.#tables.keys()) this.#spaces.set(vpid, AddressSpace.from(this.storedPages(vpid)));
  }

  /** Begins to fill the predicted set. CRIU may have handed over processes already. */
  expect({predicted, withheld}: Expectation): void {
    this.#expectedAt = performance.now();
    this.#withheld = decodeTables(withheld);
    this.prefetch = new Prefetch(new Map([...decodeTables(predicted)].map(([vpid, table]) => [vpid, table.runs()])), {
      reader: this.reader,
      memory: this.#memory,
      fetcher: {want: (missing) => this.#fetches.want(this.id, missing, {urgent: false}), state: (missing) => this.#fetches.state(missing)},
    });
    for (const process of this.#processes.values()) {
      process.withheld = this.#withheld.get(process.vpid);
      this.prefetch.started(process);
    }
    if (this.#restored) this.prefetch.finish();
  }

  get processes(): readonly PagedProcess[] {
    return [...this.#processes.values()];
  }

  get lot(): ParkingLot {
    return this.#lot;
  }

  /** Takes what CRIU sent. @throws what LazySocket throws */
  receive(): void {
    this.socket?.receive((message) => {
      switch (message.kind) {
        case 'process':
          this.#start(message.vpid, message.fd);
          return;
        case 'finished':
          faultPoint('pager:restore:finished');
          this.prefetch?.finish();
          this.record({space: 0, batch: 0, index: 0}, {kind: 'restored'});
          this.#restored = true;
          this.#report({kind: 'restored', instance: this.id});
          break;
        case 'aborted':
          this.#report({kind: 'aborted', instance: this.id});
          break;
        default:
          message satisfies never;
      }
      this.socket = undefined;
    });
  }

  #start(vpid: number, fd: number): void {
    faultPoint('pager:restore:process-received');
    const number = this.#numbers.next();
    this.#park({number, vpid, fd});
    const process = this.#adopt({number, vpid, fd, memory: this.#spaces.get(vpid) ?? AddressSpace.from([])});
    this.#spaces.delete(vpid);
    this.record({space: process.number, batch: 0, index: 0}, {kind: 'process', vpid});
    faultPoint('pager:restore:process-parked');
    this.prefetch?.started(process);
  }

  /** The lazy pages of a process as of the generation that was restored. */
  storedPages(vpid: number): Iterable<PageRun> {
    return this.#tables.get(vpid)?.runs() ?? [];
  }

  /** A descriptor is parked before anything else is done with it. */
  #park({number, vpid, fd}: Omit<PagedSpace, 'memory'>): void {
    try {
      this.#lot.park({space: number, vpid}, fd);
      this.#parked++;
    } catch (error) {
      this.lose(String(error));
    }
  }

  #adopt(space: PagedSpace): PagedProcess {
    const touches = new FirstTouches(this.#touchWindow);
    // What the child of a fork touches is its own; only restored processes can be predicted.
    if (space.vpid !== 0) this.#touches.push({vpid: space.vpid, touches});
    const process = new PagedProcess({
      ...space,
      touches,
      readAhead: this.#readsAhead ? new ReadAhead() : undefined,
      record: (event) => this.record({space: space.number, batch: 0, index: 0}, event),
    });
    process.withheld = this.#withheld.get(space.vpid);
    this.#processes.set(space.number, process);
    return process;
  }

  /** Applies the events of a batch, each in the journal before the next. @returns whether there is a new process */
  applyEvents(process: PagedProcess, batch: number, messages: readonly FaultMessage[]): boolean {
    let forked = false;
    for (const [index, message] of messages.entries()) {
      const at = {space: process.number, batch, index};
      const event = spaceEvent(message);
      if (event !== undefined) process.events.apply(event, {batch, isUnmap: message.kind === 'unmap'}, (done) => this.record(at, done));
      if (message.kind !== 'fork') continue;
      this.#fork(process, message.fd, at);
      forked = true;
    }
    return forked;
  }

  #fork(parent: PagedProcess, fd: number, at: {space: number; batch: number; index: number}): void {
    const number = this.#numbers.next();
    this.#park({number, vpid: 0, fd});
    const changes: SpaceEvent[] = [];
    const memory = parent.events.fork(kernelView(fd), at.batch, (event) => changes.push(event));
    this.#adopt({number, vpid: 0, fd, memory});
    this.record(at, {kind: 'fork', child: number});
    for (const change of changes) this.record({space: number, batch: 0, index: 0}, change);
  }

  /** Writes to the journal. `batch` and `index` tell which message it was, 0 for none. */
  record(at: {space: number; batch: number; index: number}, event: JournalEvent): void {
    if (this.#journal.append({...at, event}) || this.#warned) return;
    this.#warned = true;
    this.#report({kind: 'unjournalled', instance: this.id});
  }

  /** Puts back a process that another pager had. */
  restoreProcess(space: PagedSpace): PagedProcess {
    this.#complete = false;
    this.#restored = true;
    this.#parked++;
    return this.#adopt(space);
  }

  /** The instance must be killed; said once. @param damaged what is stored of its memory is not what was written */
  lose(reason: string, damaged = false): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#report({kind: 'lost', instance: this.id, reason, damaged});
  }

  forget(process: PagedProcess): void {
    this.prefetch?.forget(process);
    if (this.#processes.delete(process.number)) this.#brought += process.brought;
    process[Symbol.dispose]();
  }

  /** Drops the memory of the prefetch when it is done. */
  endPrefetch(): void {
    this.#prefetched = this.prefetch?.installed ?? this.#prefetched;
    this.#prefetchMs = performance.now() - this.#expectedAt;
    this.prefetch?.[Symbol.dispose]();
    this.prefetch = undefined;
  }

  /** Forgets processes that are gone, and their parked descriptors when many are. @returns whether any was */
  sweep(): boolean {
    let found = false;
    for (const process of this.#processes.values()) {
      if (process.alive()) continue;
      this.forget(process);
      found = true;
    }
    const gone = this.#parked - this.#processes.size;
    if (gone > 64 && gone > this.#processes.size) this.#compact();
    return found;
  }

  #compact(): void {
    try {
      this.#lot.compact([...this.#processes.values()].map(({number, vpid, fd}) => ({space: number, vpid, fd})));
      this.#parked = this.#processes.size;
    } catch (error) {
      this.lose(String(error));
    }
  }

  /** Parks everything with another keeper. */
  repark(ends: readonly [number, number]): void {
    const old = this.#lot;
    this.#lot = new ParkingLot(ends);
    this.#parked = 0;
    for (const {number, vpid, fd} of this.#processes.values()) {
      this.#lot.park({space: number, vpid}, fd);
      this.#parked++;
    }
    const socket = this.socket?.fd;
    if (socket !== undefined) this.#lot.keepOpen(socket);
    old[Symbol.dispose]();
  }

  stats(): Omit<InstanceStats, keyof StoreWait> {
    return {
      restored: this.#restored,
      faults: this.faults,
      zeroFaults: this.zeroFaults,
      prefetched: this.prefetch?.installed ?? this.#prefetched,
      prefetchMs: this.#prefetchMs,
      brought: this.#brought + this.processes.reduce((sum, process) => sum + process.brought, 0),
      missing: this.processes.reduce((sum, process) => sum + process.memory.missing.size, 0),
      waiting: this.waiting,
      medianFaultMicros: this.times.medianMicros(),
      faultTimes: this.times.counted,
      touched: this.#touches.map(({vpid, touches}) => ({vpid, pages: touches.pages})),
      passed: this.#touches.map(({vpid, touches}) => ({vpid, ranges: touches.passed})),
      alongside: this.#touches.map(({vpid, touches}) => ({vpid, ranges: touches.brought})),
      complete: this.#complete,
    };
  }

  [Symbol.dispose](): void {
    this.socket?.[Symbol.dispose]();
    this.endPrefetch();
    for (const process of this.#processes.values()) process[Symbol.dispose]();
    this.#processes.clear();
    this.#journal[Symbol.dispose]();
    this.#lot[Symbol.dispose]();
    this.reader[Symbol.dispose]();
  }
}
