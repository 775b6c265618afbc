/** What the kernel does to the memory of a process, page by page, and the events that it tells of it: the model for AddressSpace. */

import type {PageRun} from '../../src/pager/checkpoints/page-table.ts';
import {AddressSpace, type SpaceEvent} from '../../src/pager/faults/address-space.ts';
import {fc} from '../helpers/properties.ts';

const pages = 48;
const maxCount = 14;
const page = fc.integer({min: 0, max: pages - 1});
const count = fc.integer({min: 1, max: maxCount});

export const storedRuns = fc.array(
  fc.record({page, count, segment: fc.integer({min: 1, max: 3}), index: fc.integer({min: 0, max: 50}), lazy: fc.constant(true)}),
  {maxLength: 6},
);

export type Deed =
  | {readonly kind: 'touch' | 'write'; readonly page: number}
  | {readonly kind: 'drop' | 'unmap' | 'install'; readonly page: number; readonly count: number}
  | {readonly kind: 'remap'; readonly from: number; readonly to: number; readonly count: number; readonly newCount: number}
  | {readonly kind: 'fork'}
  | {readonly kind: 'takeover'};

export const deeds: fc.Arbitrary<readonly (readonly [number, Deed])[]> = fc.array(
  fc.tuple(
    fc.nat(),
    fc.oneof(
      fc.record({kind: fc.constantFrom('touch' as const, 'write' as const), page}),
      fc.record({kind: fc.constantFrom('drop' as const, 'unmap' as const, 'install' as const), page, count}),
      fc.record({kind: fc.constant('remap' as const), from: page, to: page, count, newCount: count}),
      fc.constantFrom({kind: 'fork' as const}, {kind: 'takeover' as const}),
    ),
  ),
  {maxLength: 50},
);

const zero = 'zero';

function tagOf(place: {segment: number; index: number} | undefined): string {
  return place === undefined ? zero : `${place.segment}/${place.index}`;
}

/** A process, and the AddressSpace that serves it. Each method tells whether the process got what it must. */
export class SimulatedProcess {
  readonly #runs: readonly PageRun[];
  /** What each mapped page must read as. */
  readonly #contents: Map<number, string>;
  readonly #present: Set<number>;
  readonly #journal: SpaceEvent[];
  #space: AddressSpace;

  static restored(runs: readonly PageRun[]): SimulatedProcess {
    const space = AddressSpace.from(runs);
    const contents = new Map(Array.from({length: pages + maxCount}, (_, at) => [at, tagOf(space.stored.get(at))] as const));
    return new SimulatedProcess(runs, {contents, present: new Set(), journal: [], space});
  }

  private constructor(runs: readonly PageRun[], state: {contents: Map<number, string>; present: Set<number>; journal: SpaceEvent[]; space: AddressSpace}) {
    this.#runs = runs;
    this.#contents = state.contents;
    this.#present = state.present;
    this.#journal = state.journal;
    this.#space = state.space;
  }

  fork(): SimulatedProcess {
    const state = {contents: new Map(this.#contents), present: new Set(this.#present), journal: [...this.#journal], space: this.#space.fork()};
    return new SimulatedProcess(this.#runs, state);
  }

  do(deed: Exclude<Deed, {kind: 'fork'}>): boolean {
    switch (deed.kind) {
      case 'touch':
        return this.#touch(deed.page);
      case 'write':
        return this.#write(deed.page);
      case 'install':
        return this.#install(deed.page, deed.count);
      case 'drop':
        this.#clear(deed.page, deed.count, zero);
        this.#tell({kind: 'drop', page: deed.page, count: deed.count});
        return true;
      case 'unmap':
        this.#unmap(deed.page, deed.count);
        return true;
      case 'remap':
        this.#remap(deed);
        return true;
      case 'takeover':
        this.#space = AddressSpace.from(this.#runs);
        for (const event of this.#journal) this.#space.apply(event);
        return true;
      default:
        return deed satisfies never;
    }
  }

  /** A look at every page, in the process and by the tables that a commit takes. */
  isRight(): boolean {
    for (const [at, content] of this.#contents) if (!this.#present.has(at) && tagOf(this.#space.stored.get(at)) !== content) return false;
    return [...this.#contents.keys()].every((at) => this.#touch(at));
  }

  #touch(at: number): boolean {
    if (!this.#contents.has(at) || this.#present.has(at)) return true;
    const right = tagOf(this.#space.missing.get(at)) === this.#contents.get(at);
    this.#space.installed(at, 1);
    this.#present.add(at);
    return right;
  }

  #write(at: number): boolean {
    const right = this.#touch(at);
    if (this.#contents.has(at)) this.#contents.set(at, `written ${Math.random()}`);
    return right;
  }

  /** As the prefetch does: only what is missing by the table, and the kernel refuses what is there or not mapped. */
  #install(first: number, number: number): boolean {
    let right = true;
    for (const run of [...this.#space.missing.runsIn(first, number)]) {
      // After a takeover the table also has pages that were installed before; the kernel says so.
      for (let at = run.page; at < run.page + run.count; at++) right = this.#contents.has(at) && this.#touch(at) && right;
    }
    return right;
  }

  #unmap(first: number, number: number): void {
    this.#clear(first, number, undefined);
    this.#tell({kind: 'drop', page: first, count: number});
  }

  /** mremap(2) with MREMAP_FIXED: what was at the new place goes, a tail is cut off, the rest moves, and what is new is zero. */
  #remap({from, to, count: old, newCount}: Extract<Deed, {kind: 'remap'}>): void {
    const overlaps = from < to + newCount && to < from + old;
    const isMapped = Array.from({length: old}, (_, n) => from + n).every((at) => this.#contents.has(at));
    if (overlaps || !isMapped) return;
    this.#unmap(to, newCount);
    if (newCount < old) this.#unmap(from + newCount, old - newCount);
    const moved = Math.min(old, newCount);
    const taken = Array.from({length: moved}, (_, n) => ({content: this.#contents.get(from + n) ?? zero, present: this.#present.has(from + n)}));
    this.#clear(from, moved, undefined);
    for (let n = 0; n < newCount; n++) {
      this.#contents.set(to + n, taken[n]?.content ?? zero);
      if (taken[n]?.present === true) this.#present.add(to + n);
    }
    this.#tell({kind: 'move', from, to, count: moved});
  }

  /** Takes away what is at these addresses; `left` tells what a mapped page reads as then, undefined when it is mapped no more. */
  #clear(first: number, number: number, left: string | undefined): void {
    for (let at = first; at < first + number; at++) {
      this.#present.delete(at);
      if (left === undefined) this.#contents.delete(at);
      else if (this.#contents.has(at)) this.#contents.set(at, left);
    }
  }

  #tell(event: SpaceEvent): void {
    if (this.#space.apply(event)) this.#journal.push(event);
  }
}
