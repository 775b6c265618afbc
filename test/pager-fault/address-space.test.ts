import test from 'ava';
import {AddressSpace, type SpaceEvent} from '../../src/pager/faults/address-space.ts';
import {decodeRecords, encodeRecord, type JournalRecord} from '../../src/pager/faults/event-journal.ts';
import {decodeMessage, encodeMessage, type FaultMessage, messageBytes} from '../../src/pager/faults/userfaultfd.ts';
import {fc} from '../helpers/properties.ts';
import {deeds, SimulatedProcess, storedRuns} from './simulated-process.ts';

const pages = 40;
const page = fc.integer({min: 0, max: pages - 1});
const count = fc.integer({min: 1, max: 12});
const run = fc.record({page, count, segment: fc.integer({min: 1, max: 3}), index: fc.integer({min: 0, max: 50}), lazy: fc.constant(true)});

type Step = Exclude<SpaceEvent, {kind: 'put'}> | {readonly kind: 'install'; readonly page: number; readonly count: number} | {readonly kind: 'fork'};
const drop = fc.record({kind: fc.constant('drop' as const), page, count});
// mremap(2) refuses ranges that overlap.
const move = fc.record({kind: fc.constant('move' as const), from: page, to: page, count}).filter(({from, to, count: n}) => Math.abs(from - to) >= n);
const step: fc.Arbitrary<Step> = fc.oneof(drop, move, fc.record({kind: fc.constant('install' as const), page, count}), fc.constant({kind: 'fork' as const}));

/** The same with one entry per page: what is stored, and whether it is in the process. */
type Model = Map<number, {content: string; installed: boolean}>;

function applyToModel(model: Model, done: Exclude<Step, {kind: 'fork'}>): void {
  const range = (start: number): number[] => Array.from({length: done.count}, (_, n) => start + n);
  if (done.kind === 'install') {
    for (const at of range(done.page)) {
      const entry = model.get(at);
      if (entry !== undefined) model.set(at, {...entry, installed: true});
    }
  } else if (done.kind === 'drop') for (const at of range(done.page)) model.delete(at);
  else {
    const moved = range(done.from).map((at) => model.get(at));
    for (const at of [...range(done.from), ...range(done.to)]) model.delete(at);
    for (const [n, entry] of moved.entries()) if (entry !== undefined) model.set(done.to + n, entry);
  }
}

function matches(space: AddressSpace, model: Model): boolean {
  for (let at = 0; at < pages + 60; at++) {
    const entry = model.get(at);
    const place = (found: {segment: number; index: number} | undefined): string | undefined =>
      found === undefined ? undefined : `${found.segment}/${found.index}`;
    if (place(space.stored.get(at)) !== entry?.content) return false;
    if (place(space.missing.get(at)) !== (entry?.installed === true ? undefined : entry?.content)) return false;
  }
  return true;
}

function modelOf(space: AddressSpace): Model {
  const model: Model = new Map();
  for (const {page: start, count: n, segment, index} of space.stored.runs()) {
    for (let at = 0; at < n; at++) model.set(start + at, {content: `${segment}/${index + at}`, installed: false});
  }
  return model;
}

test('AddressSpace follows any sequence of events and installs, in parents and children', (t) => {
  fc.assert(
    fc.property(fc.array(run, {maxLength: 8}), fc.array(fc.tuple(fc.nat(), step), {maxLength: 40}), (runs, steps) => {
      const first = AddressSpace.from(runs);
      const spaces = [{space: first, model: modelOf(first)}];
      for (const [which, done] of steps) {
        const chosen = spaces[which % spaces.length];
        if (chosen === undefined) return false;
        if (done.kind === 'fork') spaces.push({space: chosen.space.fork(), model: new Map(chosen.model)});
        else {
          applyToModel(chosen.model, done);
          if (done.kind === 'install') chosen.space.installed(done.page, done.count);
          else chosen.space.apply(done);
        }
        if (!spaces.every(({space, model}) => matches(space, model))) return false;
      }
      return true;
    }),
  );
  t.pass();
});

test('apply() tells the journal enough: replayed without the installs, what is stored is the same', (t) => {
  fc.assert(
    fc.property(fc.array(run, {maxLength: 8}), fc.array(step, {maxLength: 40}), (runs, steps) => {
      const lived = AddressSpace.from(runs);
      const replayed = AddressSpace.from(runs);
      for (const done of steps) {
        if (done.kind === 'install') lived.installed(done.page, done.count);
        else if (done.kind !== 'fork' && lived.apply(done)) replayed.apply(done);
      }
      return matches(replayed, modelOf(lived));
    }),
  );
  t.pass();
});

test('whatever processes do to their memory, what a fault, a prefetch or the next generation gives them is what was there', (t) => {
  fc.assert(
    fc.property(storedRuns, deeds, (runs, done) => {
      const processes = [SimulatedProcess.restored(runs)];
      for (const [which, deed] of done) {
        const process = processes[which % processes.length];
        if (process === undefined) return false;
        if (deed.kind === 'fork') processes.push(process.fork());
        else if (!process.do(deed)) return false;
      }
      return processes.every((process) => process.isRight());
    }),
    {numRuns: 500},
  );
  t.pass();
});

test('zerosFrom() stops at the first missing page', (t) => {
  const space = AddressSpace.from([{page: 10, count: 2, segment: 1, index: 0, lazy: true}]);
  t.is(space.zerosFrom(5, 32), 5);
  t.is(space.zerosFrom(12, 20), 20);
  space.installed(10, 2);
  t.is(space.zerosFrom(5, 32), 32);
});

const bigPage = fc.integer({min: 0, max: 0x7ffffffff});
const message: fc.Arbitrary<FaultMessage> = fc.oneof(
  fc.record({kind: fc.constant('fault' as const), page: bigPage, write: fc.boolean()}),
  fc.record({kind: fc.constant('fork' as const), fd: fc.integer({min: 3, max: 100_000})}),
  fc.record({kind: fc.constant('remap' as const), from: bigPage, to: bigPage, count: bigPage}),
  fc.record({kind: fc.constantFrom('remove' as const, 'unmap' as const), page: bigPage, count: fc.integer({min: 1, max: 0xfffffff})}),
);

test('a message is decoded as the kernel encodes it', (t) => {
  const view = new DataView(new ArrayBuffer(2 * messageBytes));
  t.is(decodeMessage(view, messageBytes), undefined);
  fc.assert(
    fc.property(message, (wanted) => {
      encodeMessage(wanted, view, messageBytes);
      t.deepEqual(decodeMessage(view, messageBytes), wanted);
    }),
  );
});

const record: fc.Arbitrary<JournalRecord> = fc.record({
  space: fc.integer({min: 0, max: 0xffffffff}),
  batch: fc.integer({min: 0, max: 0xffffffff}),
  index: fc.nat(127),
  event: fc.oneof(
    fc.record({kind: fc.constant('drop' as const), page: bigPage, count: bigPage}),
    fc.record({kind: fc.constant('move' as const), from: bigPage, to: bigPage, count: bigPage}),
    fc.record({kind: fc.constant('fork' as const), child: fc.nat()}),
    fc.record({kind: fc.constant('process' as const), vpid: fc.nat()}),
    fc.record({kind: fc.constant('restored' as const)}),
  ),
});

test('a journal is read back as it was written, and half a record is refused', (t) => {
  fc.assert(fc.property(fc.array(record), (records) => t.deepEqual(decodeRecords(Buffer.concat(records.map(encodeRecord))), records)));
  t.throws(() => decodeRecords(Buffer.alloc(60)), {code: 'ERR_BAD_JOURNAL'});
  t.throws(() => decodeRecords(Buffer.alloc(40)), {code: 'ERR_BAD_JOURNAL'});
});
