/** What an app does now and why, in sentences: a pure function of what the gateway knows, so that each of them has a row in a table of tests. */
import type {AppPaging, Placement, RemoteStatus} from '../pager/protocol.ts';
import type {SleepCause} from '../store/app-record.ts';
import type {AppStatus, Failure, LiveStatus} from '../supervisor/app-status.ts';
import {describeExit} from '../supervisor/exit-status.ts';
import {tolerated} from '../supervisor/flapping.ts';
import {ago, bytes, milliseconds, span} from './format.ts';

export interface AppFacts {
  readonly name: string;
  readonly nowMs: number;
  readonly status: Pick<AppStatus, 'state' | 'rest' | 'lastWake' | 'lastHibernate'>;
  readonly live: Omit<LiveStatus, 'address' | 'pids' | 'busySessions' | 'paging' | 'memoryBytes' | 'layers'>;
  /** Health checks from outside that were answered in its place since it was awake. */
  readonly checksAnswered: number;
  /** Null without a remote store. */
  readonly placement: Placement | null;
  readonly remote: RemoteStatus | null;
  /** Null when the pager serves nothing of it. */
  readonly paging: AppPaging | null;
}

/** Whether it is in memory, on this host's disk, there and in the remote store, or in the remote store only; 'none' before its first checkpoint. */
export type Residence = 'hot' | 'warm' | 'warm+stored' | 'cold' | 'none';

export function residenceOf({status: {state, rest}, placement}: Pick<AppFacts, 'status' | 'placement'>): Residence {
  if (state === 'running' || state === 'draining' || state === 'checkpointing') return 'hot';
  if (rest.kind !== 'checkpoint') return 'none';
  // What was said of an older generation says nothing of this one.
  if (placement?.generation !== rest.generation) return 'warm';
  if (!placement.local) return 'cold';
  return placement.stored ? 'warm+stored' : 'warm';
}

export function explain(facts: AppFacts): readonly string[] {
  return [
    ...stateOf(facts),
    ...exitOf(facts),
    ...wakefulness(facts),
    ...nextWake(facts),
    ...habits(facts),
    ...checks(facts),
    ...wakeNeeds(facts),
    ...fallbackOf(facts),
    ...faultsOf(facts),
    ...storeOf(facts),
    ...work(facts),
    ...failureOf(facts),
    ...refusalOf(facts),
  ];
}

const sleepCauses: Readonly<Record<SleepCause, string>> = {
  idle: ', because it was idle',
  memory: ' to free memory',
  operator: ', as an operator said',
  stop: ', because the gateway stopped',
  checkpoint: ', for a checkpoint',
  drain: ', because its worker was drained',
};

function stateOf({name, nowMs, status: {state, lastWake, lastHibernate}, live}: AppFacts): string[] {
  const app = `App "${name}"`;
  const slept = lastHibernate === null ? '' : `; it was put to sleep ${ago(lastHibernate.at, nowMs)}${sleepCauses[lastHibernate.cause]}`;
  switch (state) {
    case 'running':
      if (lastWake === null) return [`${app} is awake.`];
      return [`${app} is awake; it was woken ${ago(lastWake.at, nowMs)} by ${lastWake.trigger}, in ${milliseconds(lastWake.ms)}.`];
    case 'reviving':
      return [`${app} is being woken.`];
    case 'draining':
    case 'checkpointing':
      return [`${app} is being put to sleep; whoever needs it now gets it back as it is.`];
    case 'hibernated':
      if (!live.isOriginKnown) return [`${app} is not awake, and what it starts from is known to the store only, which cannot be reached.`];
      return [`${app} sleeps${slept}.`];
    case 'stopped':
      return [`${app} is not started, or has ended by itself: the next request starts it from its files.`];
    case 'failed':
      return [`${app} could not be started, or was lost before its first checkpoint: the next request tries again, from its files.`];
    default:
      return state satisfies never;
  }
}

/** Of one that still does not run, or does again. */
function exitOf({nowMs, live: {lastExit, restartsInMs}}: AppFacts): string[] {
  if (lastExit === null) return [];
  const again = restartsInMs === null ? '' : `; it is started again in ${milliseconds(restartsInMs)}`;
  return [`By itself it ${describeExit(lastExit)} ${ago(lastExit.at, nowMs)}${again}.`];
}

function fallbackOf({nowMs, live: {fallback}}: AppFacts): string[] {
  if (fallback === null) return [];
  const {at, newest, generation, reason} = fallback;
  const instead = generation === null ? 'it was started from its files' : `generation ${generation} was restored, and what the app did since is not in it`;
  return [
    `Its newest checkpoint, generation ${newest}, could not be restored ${ago(at, nowMs)}: ${reason}. As "on-restore-failure" allows, ${instead}. ` +
      `Generation ${newest} is kept like any other: it is removed when "keep-generations" newer ones are there.`,
  ];
}

function refusalOf({name, live: {refusal}}: AppFacts): string[] {
  if (refusal === null) return [];
  const {failures, ms} = refusal;
  return [`Its last ${failures} wakes failed: requests are refused at once, for ${milliseconds(ms)} more. "picogate wake ${name}" tries it now.`];
}

function wakefulness({status: {state}, live: {awakeBecause, sleepsInMs}}: AppFacts): string[] {
  if (state !== 'running') return [];
  if (awakeBecause === null) return ['Nothing keeps it awake: it is put to sleep at the next look, within a second.'];
  const when = sleepsInMs === null ? '' : `; it is looked at again in ${milliseconds(sleepsInMs)}`;
  return [`It does not sleep because of this: ${awakeBecause}${when}.`];
}

function nextWake({nowMs, live: {nextWake: due}}: AppFacts): string[] {
  if (due === null) return [];
  const {at, trigger, what} = due;
  const left = span(at - nowMs);
  return trigger.kind === 'timer'
    ? [`Its next timer is due in ${left} (${what}); it is woken for it.`]
    : [`It is woken in ${left}, by its schedule (${what}).`];
}

/** What is unusual about when it sleeps. */
function habits({status: {state}, live: {pinned, idle}}: AppFacts): string[] {
  const found: string[] = [];
  if (pinned !== null && state !== 'running') {
    found.push(`It is pinned${pinned.until === null ? '' : ` until ${new Date(pinned.until).toISOString()}`}: once it is woken it stays awake.`);
  }
  if (idle.flaps > tolerated && idle.afterMs !== null) {
    const after = milliseconds(idle.afterMs);
    found.push(`It was woken right after it had fallen asleep, ${idle.flaps} times of late: now it is put to sleep after ${after} without traffic.`);
  }
  return found;
}

function checks({checksAnswered, status: {state}}: AppFacts): string[] {
  if (checksAnswered === 0 || state === 'running') return [];
  return [`${checksAnswered === 1 ? 'One health check was' : `${checksAnswered} health checks were`} answered in its place since it was awake.`];
}

function wakeNeeds(facts: AppFacts): string[] {
  const {status, remote} = facts;
  const {state, rest} = status;
  if (state !== 'hibernated' || rest.kind !== 'checkpoint') return [];
  const generation = `Its checkpoint, generation ${rest.generation},`;
  switch (residenceOf(facts)) {
    case 'warm+stored':
      return [`${generation} is on this host and in the store: a wake needs nobody else, and another host could wake it too.`];
    case 'cold':
      return [
        `${generation} is not on this host, or not all of it: a wake has to fetch from the store first.`,
        ...((remote?.outage ?? null) === null ? [] : ['It cannot be woken until the store can be reached, unless all that it needs is here.']),
      ];
    default:
      return [remote === null ? `${generation} is on this host.` : `${generation} is on this host only; it is not in the store yet.`];
  }
}

function faultsOf({paging}: AppFacts): string[] {
  if (paging === null) return [];
  const found: string[] = [];
  if (paging.standsStill) {
    found.push('Every thread that touches a page that is not in memory stands still: the pager was killed, and its successor cannot read the checkpoint yet.');
  }
  if (paging.waiting > 0) {
    const threads = paging.waiting === 1 ? 'One page fault waits' : `${paging.waiting} page faults wait`;
    const since = paging.waitingMs === null ? '' : `, for ${milliseconds(paging.waitingMs)} by now`;
    const reason = paging.waitingReason === null ? '' : `: ${paging.waitingReason}`;
    found.push(`${threads} for the store${since}${reason}. The threads concerned go on when it answers; the others are not held up.`);
  }
  return found;
}

function storeOf({nowMs, remote}: AppFacts): string[] {
  const outage = remote?.outage ?? null;
  if (outage === null) return [];
  const {since, askedAt, message} = outage;
  return [`The store cannot be reached since ${ago(since, nowMs)} (last asked ${ago(askedAt, nowMs)}): ${message}.`];
}

function work({placement, live}: AppFacts): string[] {
  const found: string[] = [];
  if (placement !== null && placement.pendingObjects > 0) {
    const objects = placement.pendingObjects === 1 ? 'One object has' : `${placement.pendingObjects} objects have`;
    const progress = placement.current === null ? '' : `; "${placement.current}" is on its way`;
    const problem = placement.lastError === null ? '' : `; the last attempt failed: ${placement.lastError}`;
    found.push(`${objects} yet to be uploaded, ${bytes(placement.pendingBytes)}${progress}${problem}.`);
  }
  if (live.compacting) found.push('Its checkpoint is being compacted; a wake does not wait for that.');
  return found;
}

/** A failure after which all went well is past. */
function failureOf({name, nowMs, status: {lastWake, lastHibernate}, live: {lastFailure}}: AppFacts): string[] {
  if (lastFailure === null) return [];
  const isPast = Math.max(lastWake?.at ?? 0, lastHibernate?.at ?? 0) > lastFailure.at;
  const what = `${ago(lastFailure.at, nowMs)}: ${lastFailure.message}.`;
  return isPast ? [`The last failure was ${what} It has worked since.`] : [`The last attempt failed ${what} ${remedy(name, lastFailure)}`];
}

const remedies: Readonly<Record<string, string>> = {
  ERR_STORE_FAILED: 'The store must be reachable, and the credentials good; it is asked again at the next request.',
  ERR_STORE_UNREACHABLE: 'The store must be reachable; it is asked again by itself.',
  ERR_STORE_FULL: 'Make room where the message says; nothing is lost meanwhile.',
  ERR_WRONG_KEY: 'Give the gateway the key with which the app was stored, in a further "encryption-key".',
  ERR_DAMAGED_CHECKPOINT: 'The checkpoint is kept as it is. If the store has an undamaged copy of the object named, put it there and wake the app again.',
  ERR_LEASE_HELD: 'Another worker owns the app; ask there, or wait until its lease ends.',
  ERR_RESTORE:
    'The checkpoint is kept. What CRIU says is missing or different has to be as it was; if that cannot be, "on-restore-failure previous" or "cold-start" ' +
    'goes on without it.',
  ERR_NOT_READY: 'The app did not become what "ready" asks for within "timeout ready"; "picogate logs" shows what it wrote.',
  ERR_WAKE_TIMEOUT: 'The wake itself goes on; "timeout wake" says how long clients are held.',
};

function remedy(name: string, {code, source, retryable}: Failure): string {
  const known = code === null ? undefined : remedies[code];
  if (known !== undefined) return known;
  switch (source) {
    case 'client':
      return 'The configuration or the command has to change.';
    case 'server':
      return `The app itself is the place to look: "picogate logs ${name}" shows what it wrote.`;
    case 'host':
      return retryable
        ? 'The next attempt may succeed by itself; if it does not, "picogate doctor" checks this host.'
        : '"picogate doctor" checks what this host lacks.';
    case 'bug':
      return 'This should not happen; the log of the gateway has more.';
    default:
      return source satisfies never;
  }
}
