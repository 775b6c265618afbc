import test from 'ava';
import {AddressSpace, type SpaceEvent} from '../../src/pager/faults/address-space.ts';
import {type KernelView, UnsettledEvents} from '../../src/pager/faults/unsettled-events.ts';
import {fc} from '../helpers/properties.ts';

/** One mapping per page: what it holds, of those that are registered. */
class Memory {
  readonly pages = new Map<number, number>();
  isChanging = false;

  static of(...ranges: readonly (readonly [page: number, count: number, content: number])[]): Memory {
    const memory = new Memory();
    for (const [page, count, content] of ranges) for (let n = 0; n < count; n++) memory.pages.set(page + n, content + n);
    return memory;
  }

  get view(): KernelView {
    return {
      registration: (page, count) => {
        if (this.isChanging) return 'changing';
        return Array.from({length: count}, (_, n) => this.pages.has(page + n)).every(Boolean) ? 'registered' : 'unregistered';
      },
      isQuiet: () => !this.isChanging,
    };
  }

  clone(): Memory {
    const copy = new Memory();
    for (const [page, content] of this.pages) copy.pages.set(page, content);
    return copy;
  }

  unmap(page: number, count: number): void {
    for (let n = 0; n < count; n++) this.pages.delete(page + n);
  }

  move(from: number, to: number, count: number): void {
    for (let n = 0; n < count; n++) {
      const content = this.pages.get(from + n);
      this.pages.delete(from + n);
      if (content !== undefined) this.pages.set(to + n, content);
    }
  }
}

const first = [0, 8, 100] as const;
const second = [20, 8, 200] as const;

function spaceOf(...ranges: readonly (readonly [number, number, number])[]): AddressSpace {
  return AddressSpace.from(ranges.map(([page, count, index]) => ({page, count, segment: 1, index, lazy: true})));
}

function contentOf(space: AddressSpace): [number, number][] {
  return [...space.stored.runs()].flatMap(({page, count, index}) => Array.from({length: count}, (_, n): [number, number] => [page + n, index + n]));
}

function sorted(memory: Memory): [number, number][] {
  return [...memory.pages].sort(([a], [b]) => a - b);
}

const noJournal = (): undefined => undefined;
const move = (from: number, to: number, count: number): Extract<SpaceEvent, {kind: 'move'}> => ({kind: 'move', from, to, count});
const drop = (page: number, count: number): Extract<SpaceEvent, {kind: 'drop'}> => ({kind: 'drop', page, count});

test('an UNMAP that is told after another thread was given its addresses leaves what was moved there', (t) => {
  const memory = Memory.of(first, second);
  const space = spaceOf(first, second);
  const events = new UnsettledEvents(space, memory.view);
  memory.unmap(20, 8);
  memory.move(0, 20, 8);
  memory.isChanging = true;
  events.apply(move(0, 20, 8), {batch: 1, isUnmap: false}, noJournal);
  t.true(events.settle(noJournal));
  events.apply(drop(20, 8), {batch: 2, isUnmap: true}, noJournal);
  t.true(events.doubtful);
  t.false(events.settle(noJournal));
  memory.isChanging = false;
  t.true(events.settle(noJournal));
  t.deepEqual(contentOf(space), sorted(memory));
});

test('an UNMAP of what was moved there drops it, also when no moment in between was quiet', (t) => {
  const memory = Memory.of(first);
  const space = spaceOf(first);
  const events = new UnsettledEvents(space, memory.view);
  const journal: SpaceEvent[] = [];
  memory.move(0, 20, 8);
  memory.isChanging = true;
  events.apply(move(0, 20, 8), {batch: 1, isUnmap: false}, (event) => journal.push(event));
  memory.unmap(22, 3);
  events.apply(drop(22, 3), {batch: 2, isUnmap: true}, (event) => journal.push(event));
  memory.isChanging = false;
  t.true(events.settle((event) => journal.push(event)));
  t.deepEqual(contentOf(space), sorted(memory));
  const replayed = spaceOf(first);
  for (const event of journal) replayed.apply(event);
  t.deepEqual(contentOf(replayed), sorted(memory));
});

test('a REMAP that is told after its addresses were given to another one moved what was there before', (t) => {
  const memory = Memory.of(first, second);
  const space = spaceOf(first, second);
  const events = new UnsettledEvents(space, memory.view);
  memory.move(20, 40, 8);
  memory.move(0, 20, 8);
  memory.isChanging = true;
  events.apply(move(0, 20, 8), {batch: 1, isUnmap: false}, noJournal);
  events.apply(move(20, 40, 8), {batch: 2, isUnmap: false}, noJournal);
  memory.isChanging = false;
  t.true(events.settle(noJournal));
  t.deepEqual(contentOf(space), sorted(memory));
});

test('a child has what its parent had at the fork, whatever was told before it', (t) => {
  const memory = Memory.of(first, second);
  const space = spaceOf(first, second);
  const events = new UnsettledEvents(space, memory.view);
  memory.isChanging = true;
  const child = memory.clone();
  memory.move(0, 40, 8);
  events.apply(move(0, 40, 8), {batch: 1, isUnmap: false}, noJournal);
  memory.unmap(20, 8);
  events.apply(drop(20, 8), {batch: 2, isUnmap: true}, noJournal);
  const journal: SpaceEvent[] = [];
  const replayed = space.fork();
  const made = events.fork(child.view, 2, (event) => journal.push(event));
  t.deepEqual(contentOf(made), sorted(child));
  for (const event of journal) replayed.apply(event);
  t.deepEqual(contentOf(replayed), sorted(child));
  const later = events.fork(memory.clone().view, 3, noJournal);
  t.deepEqual(contentOf(later), sorted(memory));
});

test('after a quiet moment events mean what they say', (t) => {
  const memory = Memory.of(first);
  const space = spaceOf(first);
  const events = new UnsettledEvents(space, memory.view);
  memory.move(0, 20, 8);
  events.apply(move(0, 20, 8), {batch: 1, isUnmap: false}, noJournal);
  t.true(events.settle(noJournal));
  t.true(events.settled);
  // It grows again at once: the same addresses, other pages.
  events.apply(drop(24, 4), {batch: 2, isUnmap: true}, noJournal);
  t.false(events.doubtful);
  t.deepEqual(contentOf(space), sorted(memory).slice(0, 4));
});

/** Each area is freed by one thread and given to another one: the telling of the first may be late by any number of events. */
test('however late the UNMAPs of addresses are told that others were given, every page is where it is', (t) => {
  const steps = fc.array(fc.record({area: fc.nat(5), late: fc.nat(3)}), {maxLength: 12});
  fc.assert(
    fc.property(steps, (done) => {
      const ranges = Array.from({length: 6}, (_, n) => [n * 10, 8, n * 1000] as const);
      const [memory, space] = [Memory.of(...ranges), spaceOf(...ranges)];
      const events = new UnsettledEvents(space, memory.view);
      let pending: {event: SpaceEvent & {kind: 'drop'}; late: number}[] = [];
      memory.isChanging = true;
      for (const [batch, {area, late}] of done.entries()) {
        const source = (area + 1) % 6;
        const isWhole = [area, source].every((one) => memory.pages.has(one * 10));
        // An area is freed again by others only when its last telling has been read.
        if (!isWhole || pending.some(({event}) => event.page === area * 10 || event.page === source * 10)) continue;
        memory.unmap(area * 10, 8);
        memory.move(source * 10, area * 10, 8);
        pending.push({event: drop(area * 10, 8), late});
        events.apply(move(source * 10, area * 10, 8), {batch, isUnmap: false}, noJournal);
        for (const {event} of pending.filter((one) => one.late === 0)) events.apply(event, {batch, isUnmap: true}, noJournal);
        pending = pending.filter((one) => one.late > 0).map((one) => ({...one, late: one.late - 1}));
      }
      for (const {event} of pending) events.apply(event, {batch: 99, isUnmap: true}, noJournal);
      memory.isChanging = false;
      return events.settle(noJournal) && JSON.stringify(contentOf(space)) === JSON.stringify(sorted(memory));
    }),
    {numRuns: 500, endOnFailure: true},
  );
  t.pass();
});
