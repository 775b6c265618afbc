/**
 * Serving the processes of an instance whose pager was killed: descriptors from the keeper, address spaces from the generation's tables, the
 * journal, and the messages that were read but perhaps not handled. Everything or nothing: where one address space is in doubt, the instance
 * is lost, because its checkpoint is worth more than its present.
 */
import {CodedError, errorMessage} from '../../core/errors.ts';
import {AddressSpace, type SpaceEvent} from './address-space.ts';
import {type JournalRecord, readJournal} from './event-journal.ts';
import type {LeftMessages} from './event-window.ts';
import type {InstancePlan} from './fault-messages.ts';
import {saysFinished} from './lazy-socket.ts';
import {PagedInstance, spaceEvent, type Worker} from './paged-instance.ts';
import {kernelView} from './paged-process.ts';
import {UnsettledEvents} from './unsettled-events.ts';

/** The last events of a journal of which some may not have been settled. */
const unsettledMax = 64;

function failed(plan: InstancePlan, found: string, cause?: unknown): CodedError {
  return new CodedError('ERR_TAKEOVER', `Cannot take over the memory of instance "${plan.instance}": ${found}`, {source: 'host', cause});
}

function journalOf(plan: InstancePlan): JournalRecord[] {
  try {
    return readJournal(plan.journalPath);
  } catch (error) {
    throw failed(plan, `its journal cannot be read: ${errorMessage(error)}`, error);
  }
}

/** The address spaces that the journal tells of, also of processes that are gone. */
function replay(plan: InstancePlan, instance: PagedInstance, records: readonly JournalRecord[]): Map<number, AddressSpace> {
  const spaces = new Map<number, AddressSpace>();
  const known = (number: number): AddressSpace => {
    const space = spaces.get(number);
    if (space === undefined) throw failed(plan, `its journal names address space ${number} before it began`);
    return space;
  };
  for (const {space, event} of records) {
    switch (event.kind) {
      case 'process':
        spaces.set(space, AddressSpace.from(instance.storedPages(event.vpid)));
        break;
      case 'fork':
        spaces.set(event.child, known(space).fork());
        break;
      case 'drop':
      case 'move':
      case 'put':
        known(space).apply(event);
        break;
      case 'restored':
        break;
      default:
        event satisfies never;
    }
  }
  return spaces;
}

interface Recovering {
  readonly instance: PagedInstance;
  readonly records: readonly JournalRecord[];
  readonly spaces: Map<number, AddressSpace>;
  readonly left: LeftMessages;
  /** Descriptors by address space. */
  readonly parked: ReadonlyMap<number, number>;
  /** Spaces that are parked, but not in the journal. */
  readonly unknown: Set<number>;
}

/** Applies what the killed pager had read and not yet written down. */
function finishBatch(plan: InstancePlan, {instance, records, spaces, left, parked, unknown}: Recovering): void {
  const space = spaces.get(left.space);
  const fd = parked.get(left.space);
  if (space === undefined || fd === undefined) return;
  const own = records.filter((record) => record.space === left.space);
  const handled = new Set(own.filter((record) => record.batch === left.batch).map((record) => record.index));
  const events = new UnsettledEvents(space, kernelView(fd));
  events.remember(own.slice(-unsettledMax).flatMap(({event}) => (event.kind === 'move' ? [event] : [])));
  for (const [index, message] of left.messages.entries()) {
    if (handled.has(index)) continue;
    const at = {space: left.space, batch: left.batch, index};
    const event = spaceEvent(message);
    if (event !== undefined) events.apply(event, {batch: left.batch, isUnmap: message.kind === 'unmap'}, (done) => instance.record(at, done));
    if (message.kind !== 'fork') continue;
    // Parked, but not in the journal yet: it can only be this child.
    const [child] = unknown;
    const childFd = child === undefined ? undefined : parked.get(child);
    if (child === undefined || childFd === undefined) throw failed(plan, 'a process was forked at the moment when its pager was killed');
    unknown.delete(child);
    const changes: SpaceEvent[] = [];
    spaces.set(
      child,
      events.fork(kernelView(childFd), left.batch, (change) => changes.push(change)),
    );
    instance.record(at, {kind: 'fork', child});
    for (const change of changes) instance.record({space: child, batch: 0, index: 0}, change);
  }
  // What is still in doubt is kept: nothing can be installed where nothing is registered.
  events.settle((event) => instance.record({space: left.space, batch: 0, index: 0}, event));
}

/**
 * Builds the instance again and lets its waiting threads fault anew. On failure nothing of it stays open here, and its faults stay unanswered.
 * @throws CodedError ERR_TAKEOVER
 */
export function takeOver(plan: InstancePlan, lefts: readonly LeftMessages[], worker: Worker): PagedInstance {
  const records = journalOf(plan);
  using scope = new DisposableStack();
  const instance = scope.use(new PagedInstance(plan, worker));
  if (!records.some(({event}) => event.kind === 'restored')) {
    // What CRIU says last comes after everything that we need: it is a restore that finished when nobody listened.
    if (!instance.lot.someKeptOpen(saysFinished)) throw failed(plan, 'its restore had not finished');
    instance.record({space: 0, batch: 0, index: 0}, {kind: 'restored'});
  }
  const spaces = replay(plan, instance, records);
  const parked = instance.lot.list();
  const unknown = new Set(parked.map(({space}) => space).filter((space) => !spaces.has(space)));
  for (const space of [...spaces.keys(), ...unknown]) worker.numbers.use(space);
  const descriptors = new Map(parked.map(({space, fd}) => [space, fd]));
  for (const left of lefts) finishBatch(plan, {instance, records, spaces, left, unknown, parked: descriptors});
  for (const {space, vpid, fd} of parked) {
    const memory = spaces.get(space);
    if (memory === undefined) throw failed(plan, `nothing is known of address space ${space}`);
    instance.restoreProcess({number: space, vpid, fd, memory});
  }
  instance.sweep();
  for (const process of instance.processes) process.wakeAll();
  scope.move();
  return instance;
}
