/**
 * Serving the processes of an instance whose pager was killed: descriptors from the keeper, address spaces from the generation's tables, the
 * journal, and the messages that were read but perhaps not handled. Everything or nothing: where one address space is in doubt, the instance
 * is lost, because its checkpoint is worth more than its present.
 */
import {CodedError, errorMessage} from '../core/errors.ts';
import {AddressSpace} from './address-space.ts';
import {type JournalRecord, readJournal} from './event-journal.ts';
import type {LeftMessages} from './event-window.ts';
import type {InstancePlan} from './fault-messages.ts';
import {saysFinished} from './lazy-socket.ts';
import {inOrder, PagedInstance, spaceEvent, type Worker} from './paged-instance.ts';

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

/** Applies what the killed pager had read and not yet written down. */
function finishBatch(
  plan: InstancePlan,
  state: {instance: PagedInstance; records: readonly JournalRecord[]; spaces: Map<number, AddressSpace>; left: LeftMessages; unknown: Set<number>},
): void {
  const {instance, spaces, left, unknown} = state;
  const space = spaces.get(left.space);
  if (space === undefined) return;
  const handled = new Set(state.records.filter((record) => record.space === left.space && record.batch === left.batch).map((record) => record.index));
  for (const {index, message} of inOrder(left.messages)) {
    if (handled.has(index)) continue;
    const at = {space: left.space, batch: left.batch, index};
    const event = spaceEvent(message);
    if (event !== undefined && space.apply(event)) instance.record(at, event);
    if (message.kind !== 'fork') continue;
    // Parked, but not in the journal yet: it can only be this child.
    const [child] = unknown;
    if (child === undefined) throw failed(plan, 'a process was forked at the moment when its pager was killed');
    unknown.delete(child);
    spaces.set(child, space.fork());
    instance.record(at, {kind: 'fork', child});
  }
}

/**
 * Builds the instance again and lets its waiting threads fault anew. On failure nothing of it stays open here, and its faults stay unanswered.
 * @throws CodedError ERR_TAKEOVER
 */
export function takeOver(plan: InstancePlan, left: LeftMessages | undefined, worker: Worker): PagedInstance {
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
  if (left !== undefined) finishBatch(plan, {instance, records, spaces, left, unknown});
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
