/**
 * Brings the events of one process into the order in which they happened.
 *
 * The kernel queues UNMAP, REMAP and FORK after the change itself, when it has let go of the address space: a thread that is interrupted in
 * between is heard of later than another one whose mremap(2) got the addresses that it had freed, or whose fork(2) came before. REMOVE is told
 * before its change, but a FORK may be told after it that was before. While any event is not yet told, the kernel refuses copies (EAGAIN): when
 * it does not, all is known that had happened until then (a quiet moment), and only events since the last such moment can be out of order.
 *
 * What a thread frees may be used by another at once; what mremap(2) gives it is used by others only when it has returned, so when its event
 * was read. So what is read later of addresses to which something was moved is either old (they were freed before) or new. The kernel knows:
 * in the next quiet moment the pages are still registered, or not. Until then nothing is copied.
 */

import type {PageRun} from '../checkpoints/page-table.ts';
import type {PageRange} from '../prediction/page-set.ts';
import type {AddressSpace, SpaceEvent} from './address-space.ts';
import type {Registration} from './userfaultfd.ts';

type Record = (event: SpaceEvent) => void;

/** How the kernel sees the address space now. */
export interface KernelView {
  registration(page: number, count: number): Registration;
  /** All that has happened was read. */
  isQuiet(): boolean;
}

type Unsettled =
  | {readonly kind: 'unmapped' | 'removed'; readonly batch: number; readonly lost: readonly PageRun[]}
  /** `replaced`: what was thought to be at `to` until then. */
  | {readonly kind: 'moved'; readonly from: number; readonly to: number; readonly count: number; readonly replaced: readonly PageRun[]}
  /** Either the end of what was moved there, or of what was there before. */
  | {readonly kind: 'kept'; readonly page: number; readonly count: number}
  /** Either what had been moved to `from` was moved on, or what was there before. */
  | {readonly kind: 'movedOn'; readonly from: number; readonly to: number; readonly count: number; readonly replaced: readonly PageRun[]};

export class UnsettledEvents {
  readonly #space: AddressSpace;
  readonly #kernel: KernelView;
  #since: Unsettled[] = [];

  constructor(space: AddressSpace, kernel: KernelView) {
    this.#space = space;
    this.#kernel = kernel;
  }

  /** Something is in doubt, and nothing may be copied until `settle()` has succeeded. */
  get doubtful(): boolean {
    return this.#since.some(({kind}) => kind === 'kept' || kind === 'movedOn');
  }

  get settled(): boolean {
    return this.#since.length === 0;
  }

  /** Moves that another pager has read: it may have died before the next quiet moment. */
  remember(moves: readonly Extract<SpaceEvent, {kind: 'move'}>[]): void {
    this.#since.push(...moves.map(({from, to, count}): Unsettled => ({kind: 'moved', from, to, count, replaced: []})));
  }

  /** @param record writes what changes the space to the journal */
  apply(event: Exclude<SpaceEvent, {kind: 'put'}>, {batch, isUnmap}: {readonly batch: number; readonly isUnmap: boolean}, record: Record): void {
    if (event.kind === 'move') this.#move(event, record);
    else if (isUnmap) this.#unmap(event, batch, record);
    else this.#drop(event, {kind: 'removed', batch}, record);
  }

  #apply(event: SpaceEvent, record: Record): void {
    if (this.#space.apply(event)) record(event);
  }

  #drop({page, count}: PageRange, how: {readonly kind: 'unmapped' | 'removed'; readonly batch: number}, record: Record): void {
    this.#since.push({...how, lost: [...this.#space.stored.runsIn(page, count)]});
    this.#apply({kind: 'drop', page, count}, record);
  }

  #unmap(range: PageRange, batch: number, record: Record): void {
    let rest: readonly PageRange[] = [range];
    for (const target of this.#targets()) {
      for (const part of rest) {
        const kept = overlap(part, target);
        if (kept === undefined || !this.#has(kept)) continue;
        this.#since.push({kind: 'kept', ...kept});
        // A pager that takes over must not apply it as something that nobody has looked at.
        record({kind: 'drop', page: kept.page, count: 0});
      }
      rest = rest.flatMap((part) => without(part, target));
    }
    for (const part of rest) this.#drop(part, {kind: 'unmapped', batch}, record);
  }

  #move({from, to, count}: Extract<SpaceEvent, {kind: 'move'}>, record: Record): void {
    const moved = {page: from, count};
    const before = this.#since.filter((entry) => entry.kind === 'moved');
    // The addresses were free: what was heard of them before this is settled by it.
    this.#forgetKept({page: to, count});
    this.#forgetKept(moved);
    const replaced = [...this.#space.stored.runsIn(to, count)];
    for (const earlier of before) {
      const part = overlap(moved, {page: earlier.to, count: earlier.count});
      if (part === undefined) continue;
      const old = clipped(earlier.replaced, part);
      if (old.length === 0 && !this.#has(part)) continue;
      this.#since.push({kind: 'movedOn', from: part.page, to: part.page - from + to, count: part.count, replaced: old});
    }
    this.#since.push({kind: 'moved', from, to, count, replaced});
    this.#apply({kind: 'move', from, to, count}, record);
  }

  #has({page, count}: PageRange): boolean {
    return this.#space.stored.runsIn(page, count).next().done !== true;
  }

  /** To where something was moved since the last quiet moment. */
  #targets(): PageRange[] {
    return this.#since.flatMap((entry) => (entry.kind === 'moved' ? [{page: entry.to, count: entry.count}] : []));
  }

  #forgetKept(range: PageRange): void {
    this.#since = this.#since.flatMap((entry): Unsettled[] => {
      return entry.kind === 'kept' ? without(entry, range).map((part) => ({kind: 'kept', ...part})) : [entry];
    });
  }

  /**
   * Decides what is in doubt, if the moment is quiet. To be called before events are read, and after.
   * @returns whether nothing is in doubt any more
   */
  settle(record: Record): boolean {
    if (this.#since.length === 0) return true;
    if (!this.#kernel.isQuiet()) return !this.doubtful;
    const decisions: SpaceEvent[] = [];
    for (const [at, entry] of this.#since.entries()) {
      if (entry.kind !== 'kept' && entry.kind !== 'movedOn') continue;
      const range = {page: entry.kind === 'kept' ? entry.page : entry.from, count: entry.count};
      const asked = entry.kind === 'kept' ? [...this.#space.stored.runsIn(range.page, range.count)] : [range];
      const parts = registeredParts(this.#kernel, asked);
      // It has changed meanwhile: what is decided so far was true when it was asked for, but is decided anew with what comes.
      if (parts === undefined) return false;
      if (entry.kind === 'kept') for (const part of asked.flatMap((run) => unregistered(run, parts))) decisions.push({kind: 'drop', ...part});
      else if (!this.#isRefilled(range, at)) for (const part of parts) decisions.push(...this.#swapped(entry, part));
    }
    this.#since = [];
    for (const decision of decisions) this.#apply(decision, record);
    return true;
  }

  #isRefilled(range: PageRange, since: number): boolean {
    // The entry after a `movedOn` is its own move, from there.
    return this.#since.slice(since + 1).some((entry) => entry.kind === 'moved' && overlap(range, {page: entry.to, count: entry.count}) !== undefined);
  }

  /** What was moved on was what had been there before: both get what is theirs. */
  #swapped({from, to, replaced}: Extract<Unsettled, {kind: 'movedOn'}>, part: PageRange): SpaceEvent[] {
    const back: SpaceEvent = {kind: 'move', from: part.page - from + to, to: part.page, count: part.count};
    return [back, ...clipped(replaced, part).map((run): SpaceEvent => ({kind: 'put', run: {...run, page: run.page - from + to}}))];
  }

  /**
   * The space of a child whose fork has been read just now. It has what its parent had at the moment of the fork, which may be longer ago than
   * what was read before; where that is in doubt, the child's mappings tell: it does not run yet.
   * @param batch in which the fork was read
   * @param record writes what distinguishes it from its parent's as of now to the journal, as the child's
   */
  fork(child: KernelView, batch: number, record: Record): AddressSpace {
    const space = this.#space.fork();
    if (this.#since.length === 0) return space;
    const change = (event: SpaceEvent): void => {
      if (space.apply(event)) record(event);
    };
    // To where something was moved before the fork: what had been there is of no interest any more.
    const refilled: PageRange[] = [];
    for (const entry of [...this.#since].reverse()) {
      switch (entry.kind) {
        case 'removed':
        case 'unmapped':
          // Whoever did it was still waiting when the fork was read, and can have done nothing else since.
          if (entry.batch !== batch) break;
          for (const run of entry.lost) for (const part of free(space, run, refilled)) change({kind: 'put', run: part});
          break;
        case 'moved':
          if (!isAsBefore(child, entry, refilled)) {
            refilled.push({page: entry.to, count: entry.count});
            break;
          }
          change({kind: 'move', from: entry.to, to: entry.from, count: entry.count});
          for (const run of entry.replaced) for (const part of free(space, run, refilled)) change({kind: 'put', run: part});
          break;
        case 'kept':
        case 'movedOn':
          break;
        default:
          entry satisfies never;
      }
    }
    for (const event of unregisteredEvents(space, child)) change(event);
    return space;
  }
}

/** What a space has at addresses that are not registered: whatever is mapped there now is not what was stored. */
export function unregisteredEvents(space: AddressSpace, kernel: KernelView): SpaceEvent[] {
  const events: SpaceEvent[] = [];
  for (const run of space.stored.runs()) {
    const parts = registeredParts(kernel, [run]);
    if (parts !== undefined) for (const part of unregistered(run, parts)) events.push({kind: 'drop', ...part});
  }
  return events;
}

/** Undefined when the process is changing its mappings. */
function registeredParts(kernel: KernelView, ranges: readonly PageRange[]): readonly PageRange[] | undefined {
  const found: PageRange[] = [];
  const open = [...ranges];
  for (let range = open.pop(); range !== undefined; range = open.pop()) {
    const {page, count} = range;
    const registration = kernel.registration(page, count);
    if (registration === 'changing') return undefined;
    if (registration === 'registered') found.push(range);
    else if (count > 1) {
      // Ever smaller parts find the borders of the mappings.
      const half = count >> 1;
      open.push({page, count: half}, {page: page + half, count: count - half});
    }
  }
  return found;
}

function unregistered(range: PageRange, parts: readonly PageRange[]): PageRange[] {
  return parts.reduce<PageRange[]>((left, part) => left.flatMap((one) => without(one, part)), [{page: range.page, count: range.count}]);
}

function overlap(a: PageRange, b: PageRange): PageRange | undefined {
  const page = Math.max(a.page, b.page);
  const end = Math.min(a.page + a.count, b.page + b.count);
  return page < end ? {page, count: end - page} : undefined;
}

function without(range: PageRange, hole: PageRange): PageRange[] {
  const middle = overlap(range, hole);
  if (middle === undefined) return [{page: range.page, count: range.count}];
  const behind = middle.page + middle.count;
  return [
    {page: range.page, count: middle.page - range.page},
    {page: behind, count: range.page + range.count - behind},
  ].filter(({count}) => count > 0);
}

function clipped(runs: readonly PageRun[], range: PageRange): PageRun[] {
  return runs.flatMap((run) => {
    const part = overlap(run, range);
    return part === undefined ? [] : [{...run, ...part, index: run.index + part.page - run.page}];
  });
}

/** The parts of a run where nothing is stored. */
function free(space: AddressSpace, run: PageRun, taken: readonly PageRange[]): PageRun[] {
  const stored = [...space.stored.runsIn(run.page, run.count), ...taken];
  return unregistered(run, stored).map((part) => ({...run, ...part, index: run.index + part.page - run.page}));
}

/** The mappings of a child show that a move came after its fork: what moved is where it was, and nothing is where it went. */
function isAsBefore(child: KernelView, {from, to, count}: {from: number; to: number; count: number}, refilled: readonly PageRange[]): boolean {
  const there = registeredParts(child, unregistered({page: from, count}, refilled)) ?? [];
  return there.length > 0 && registeredParts(child, [{page: to, count}])?.length === 0;
}
