/**
 * Named places at which a process kills itself with SIGKILL when a test wants it, so that every moment between two writes can be tried.
 *
 * `PICOGATE_FAULT_POINT=NAME` arms one point, `NAME@N` its Nth passing. Processes that are started later inherit the variable; with
 * `PICOGATE_FAULT_POINT_ONCE=FILE` only the first of all dies, and makes the file. With `PICOGATE_FAULT_ACTION=stop` it stops itself (SIGSTOP)
 * instead: a test kills what it likes at that moment, and lets it go on. Without the first variable a point is one comparison.
 */
import {closeSync, openSync} from 'node:fs';
import {constants} from 'node:os';
import {CodedError, errorCode} from './errors.ts';

/** All points, in the order in which they are passed. */
export const faultPoints = {
  'pager:commit:before-segment': 'a generation is to be written; nothing of it is in the store',
  'pager:commit:before-bundle': 'the segment is stored',
  'pager:commit:before-manifest': 'segment and bundle are stored',
  'pager:commit:before-answer': 'the generation is complete; who asked for it has not been told',
  'pager:compaction:before-segment': 'a generation is to be written again; nothing of the copy is in the store',
  'pager:compaction:before-bundle': 'the segment of the copy is stored',
  'pager:compaction:before-manifest': 'segment and bundle of the copy are stored',
  'pager:compaction:before-answer': 'the copy is complete; nothing points at it',
  'pager:restore:process-received': 'CRIU has handed over the userfaultfd of a process; it is neither parked nor in the journal',
  'pager:restore:process-parked': 'a userfaultfd is parked; the restore has not finished',
  'pager:restore:finished': 'CRIU has said that all processes are restored; the journal does not say so',
  'pager:events:read': 'messages were read from a userfaultfd, and nothing was done about them',
  'pager:events:recorded': 'the events of a batch are in the journal; its faults are not answered',
  'pager:fault:before-copy': 'the page of a fault was read from the store and is not installed',
  'pager:prefetch:before-copy': 'predicted pages were read from the store and are not installed',
  'pager:fetch:wanted': 'a fault waits for pages that are not in the local cache; nobody has been asked for them',
  'pager:fetch:arrived': 'pages were fetched into the local cache; their faults are not answered',
  'start:recorded': 'an app is to start from its files: the record says which layer it is going to write, and that is not there',
  'supervisor:standby:mounted': 'the app sleeps; its root is mounted for the next wake, and CRIU has made nothing',
  'supervisor:standby:inside': 'the app sleeps; CRIU has made namespaces and the first process for the next wake, whose clocks stand still',
  'supervisor:wake:leased': 'Redis has given the lease; the restore is prepared, or is being prepared',
  'supervisor:wake:prepared': 'a restore waits for its root; nothing of the app exists',
  'supervisor:wake:mounted': 'the root is mounted; CRIU has not been told to go on',
  'supervisor:wake:processes-made': 'CRIU has made the processes; none has run',
  'supervisor:wake:restored': 'the app runs; its address has no route',
  'supervisor:wake:routed': 'the route is there; the record does not say that the app runs',
  'supervisor:hibernate:unrouted': 'the route is gone; nothing is dumped',
  'supervisor:hibernate:dump-begun': 'CRIU has begun to dump',
  'supervisor:hibernate:frozen': 'CRIU has dumped and asks what to do with the frozen processes, which are not stopped yet',
  'supervisor:hibernate:stored': 'the generation is in the store; Redis does not point at it',
  'supervisor:hibernate:pointed': 'Redis points at the generation; CRIU has not ended the processes',
  'supervisor:hibernate:ended': 'the processes have ended; the record does not say so',
  'pager:release:before-forget': 'the processes of an instance are gone; its record and keeper are still there',
} as const;

export type FaultPoint = keyof typeof faultPoints;

interface Armed {
  readonly point: FaultPoint;
  passingsLeft: number;
  readonly once: string | undefined;
  readonly signal: 'SIGKILL' | 'SIGSTOP';
}

const armed = armedBy(process.env);

/** What the environment asks for. @throws CodedError ERR_FAULT_POINT for a name that is not in the table */
export function armedBy(environment: Readonly<Record<string, string | undefined>>): Armed | undefined {
  const wanted = environment['PICOGATE_FAULT_POINT'];
  if (wanted === undefined || wanted === '') return undefined;
  const [name = '', passing = '1'] = wanted.split('@');
  if (!isFaultPoint(name) || !/^[1-9][0-9]*$/.test(passing)) {
    throw new CodedError('ERR_FAULT_POINT', `Cannot arm fault point "${wanted}": there are ${Object.keys(faultPoints).join(', ')}`, {source: 'host'});
  }
  const signal = environment['PICOGATE_FAULT_ACTION'] === 'stop' ? 'SIGSTOP' : 'SIGKILL';
  return {point: name, passingsLeft: Number(passing), once: environment['PICOGATE_FAULT_POINT_ONCE'], signal};
}

function isFaultPoint(name: string): name is FaultPoint {
  return Object.hasOwn(faultPoints, name);
}

/** Kills, or stops, this process when this is the place, and this the passing, that the environment names. */
export function faultPoint(name: FaultPoint): void {
  if (armed?.point === name) pass(armed);
}

function pass(point: Armed): void {
  point.passingsLeft--;
  if (point.passingsLeft !== 0 || (point.once !== undefined && !isFirst(point.once))) return;
  process.kill(process.pid, constants.signals[point.signal]);
}

/** Only one of all processes makes the file. */
function isFirst(path: string): boolean {
  try {
    closeSync(openSync(path, 'wx'));
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}
