import test from 'ava';
import {type AppFacts, explain, residenceOf} from '../../src/cli/explanation.ts';
import {systemClock} from '../../src/core/clock.ts';
import {nothingCounted} from '../../src/core/histogram.ts';
import {generation} from '../../src/core/ids.ts';
import {RequestTimes} from '../../src/store/request-times.ts';

const nowMs = 1_000_000_000;
const checkpoint = {kind: 'checkpoint', generation: generation(3), meta: {layers: [], flows: []}} as const;
const wake = {at: nowMs - 60_000, ms: 45, trigger: 'tcp/80', predictedPages: 0, faults: 0};
const sleep = {at: nowMs - 120_000, ms: 200, cause: 'idle' as const, frozenMs: 50, bytesWritten: 1};
const alone = {lastFailure: null, lastExit: null, restartsInMs: null, refusal: null, fallback: null} as const;
const usual = {compacting: false, isOriginKnown: true, nextWake: null, pinned: null, idle: {afterMs: 60_000, flaps: 1}, ...alone} as const;
const quiet = {awakeBecause: null, sleepsInMs: null, ...usual} as const;
const stored = {generation: 3, local: true, stored: true, pendingObjects: 0, pendingBytes: 0, current: null, lastError: null};
const requests = {requests: 0, hedges: 0, hedgesWon: 0, retries: 0, failures: 0, bytesRead: 0, bytesWritten: 0, times: new RequestTimes(systemClock).counted};
const remote = {place: 'bucket "b"', requests, outage: null, cacheBytes: 0, layerBytes: 0, cacheLimitBytes: 1, pendingObjects: 0, pendingBytes: 0};
const outage = {since: nowMs - 90_000, askedAt: nowMs - 3000, message: 'Cannot read object "x" in bucket "b": connection refused'};
const paging = {
  app: 'a',
  faults: 0,
  zeroFaults: 0,
  predictedPages: 0,
  unusedPages: 0,
  broughtPages: 0,
  faultTimes: nothingCounted,
  waiting: 0,
  waitingMs: null,
  waitingReason: null,
  missingPages: 0,
  standsStill: false,
};
const failure = {at: nowMs - 10_000, code: null, message: 'Cannot wake app "a": no', source: 'host', retryable: true} as const;

const running: AppFacts = {
  name: 'a',
  nowMs,
  status: {state: 'running', rest: checkpoint, lastWake: wake, lastHibernate: sleep},
  live: quiet,
  checksAnswered: 0,
  placement: null,
  remote: null,
  paging: null,
};
const sleeping: AppFacts = {...running, status: {...running.status, state: 'hibernated', lastWake: null}};
const stopped: AppFacts = {...sleeping, status: {...sleeping.status, state: 'stopped', rest: {kind: 'files', layers: []}}};
const onS3: AppFacts = {...sleeping, placement: stored, remote};

const rows: readonly (readonly [what: string, facts: AppFacts, said: readonly RegExp[]])[] = [
  ['awake', running, [/^App "a" is awake; it was woken 60 s ago by tcp\/80, in 45 ms\.$/, /^Nothing keeps it awake/]],
  [
    'traffic',
    {...running, live: {...quiet, awakeBecause: 'traffic 300 ms ago', sleepsInMs: 700}},
    [/awake/, /^It does not sleep because of this: traffic 300 ms ago; it is looked at again in 700 ms\.$/],
  ],
  ['never', {...running, live: {...quiet, awakeBecause: 'hibernate-after never'}}, [/awake/, /because of this: hibernate-after never\.$/]],
  [
    'flapping',
    {...running, live: {...quiet, idle: {afterMs: 240_000, flaps: 4}}},
    [/awake/, /^Nothing/, /fallen asleep, 4 times of late: now it is put to sleep after 240 s without traffic\.$/],
  ],
  ['being woken', {...running, status: {...running.status, state: 'reviving'}}, [/is being woken/]],
  ['going', {...running, status: {...running.status, state: 'draining'}}, [/is being put to sleep/]],
  ['never started', {...running, status: {...running.status, state: 'stopped', rest: {kind: 'files', layers: []}}}, [/starts it from its files/]],
  ['failed', {...running, status: {...running.status, state: 'failed', rest: {kind: 'files', layers: []}}}, [/tries again, from its files/]],
  ['in a directory', sleeping, [/^App "a" sleeps; it was put to sleep 2 min ago, because it was idle\.$/, /^Its checkpoint, generation 3, is on this host\.$/]],
  [
    'evicted',
    {...sleeping, status: {...sleeping.status, lastHibernate: {...sleep, cause: 'memory'}}},
    [/it was put to sleep 2 min ago to free memory\.$/, /on this host/],
  ],
  [
    'pinned',
    {...sleeping, live: {...quiet, pinned: {by: 'operator', until: Date.UTC(2030, 0, 1)}}},
    [/sleeps/, /^It is pinned until 2030-01-01T00:00:00\.000Z: once it is woken it stays awake\.$/, /on this host/],
  ],
  ['stored', onS3, [/sleeps/, /on this host and in the store/]],
  ['cold', {...onS3, placement: {...stored, local: false}}, [/sleeps/, /has to fetch from the store first/]],
  [
    'cold, store away',
    {...onS3, placement: {...stored, local: false}, remote: {...remote, outage}},
    [/sleeps/, /fetch/, /cannot be woken until/, /^The store cannot be reached since 90 s ago \(last asked 3 s ago\): Cannot read.*refused\.$/],
  ],
  [
    'an upload',
    {...onS3, placement: {...stored, stored: false, pendingObjects: 2, pendingBytes: 2048, current: 'apps/a/x', lastError: 'no'}},
    [/sleeps/, /on this host only/, /^2 objects have yet to be uploaded, 2\.0 KiB; "apps\/a\/x" is on its way; the last attempt failed: no\.$/],
  ],
  [
    'a timer',
    {...sleeping, live: {...quiet, nextWake: {at: nowMs + 43_000, trigger: {kind: 'timer'}, what: 'timerfd 5 of process 1'}}},
    [/sleeps/, /^Its next timer is due in 43 s \(timerfd 5 of process 1\); it is woken for it\.$/, /generation/],
  ],
  [
    'a schedule',
    {...sleeping, live: {...quiet, nextWake: {at: nowMs + 7_300_000, trigger: {kind: 'schedule', expression: '0 3 * * *'}, what: 'wake-at 0 3 * * *'}}},
    [/sleeps/, /^It is woken in 2 h, by its schedule \(wake-at 0 3 \* \* \*\)\.$/, /generation/],
  ],
  ['health checks', {...sleeping, checksAnswered: 12}, [/sleeps/, /^12 health checks were answered in its place/, /generation/]],
  ['compaction', {...sleeping, live: {...quiet, compacting: true}}, [/sleeps/, /generation/, /is being compacted/]],
  ['unknown', {...onS3, live: {...quiet, isOriginKnown: false}}, [/known to the store only/, /generation/]],
  [
    'one fault waits',
    {...running, paging: {...paging, waiting: 1, waitingMs: 2500, waitingReason: 'no answer'}},
    [/awake/, /Nothing/, /^One page fault waits for the store, for 2500 ms by now: no answer\. The threads concerned/],
  ],
  ['no takeover', {...running, paging: {...paging, standsStill: true}}, [/awake/, /Nothing/, /stands still: the pager was killed/]],
  ['a failure since', {...running, live: {...quiet, lastFailure: failure}}, [/awake/, /Nothing/, /^The last attempt failed 10 s ago: Cannot wake.*doctor/]],
  [
    'a failure before',
    {...running, live: {...quiet, lastFailure: {...failure, at: nowMs - 90_000}}},
    [/awake/, /Nothing/, /^The last failure was 90 s ago: .* It has worked since\.$/],
  ],
  [
    'ended',
    {...stopped, live: {...quiet, lastExit: {kind: 'exited', code: 3, at: nowMs - 2000}}},
    [/ended by itself: the next request/, /^By itself it ended with status 3 2 s ago\.$/],
  ],
  [
    'to be started again',
    {...stopped, live: {...quiet, lastExit: {kind: 'killed', signal: 'SIGSEGV', at: nowMs - 2000}, restartsInMs: 400}},
    [/by itself/, /was killed by SIGSEGV .* ago; it is started again in 400 ms\.$/],
  ],
  [
    'the previous generation',
    {...running, live: {...quiet, fallback: {kind: 'previous', newest: generation(3), generation: generation(2), reason: 'no', at: nowMs - 5000}}},
    [/awake/, /Nothing/, /generation 3, could not be restored 5 s ago: no\. .* generation 2 was restored, .* Generation 3 is kept/],
  ],
  [
    'a cold start',
    {...running, live: {...quiet, fallback: {kind: 'cold-start', newest: generation(3), generation: null, reason: 'no', at: nowMs - 5000}}},
    [/awake/, /Nothing/, /it was started from its files/],
  ],
  [
    'left alone',
    {...sleeping, live: {...quiet, lastFailure: {...failure, code: 'ERR_RESTORE'}, refusal: {failures: 6, ms: 9000}}},
    [/sleeps/, /generation/, /The checkpoint is kept\./, /^Its last 6 wakes failed: .* for 9000 ms more\. "picogate wake a" tries it now\.$/],
  ],
  ['a wrong key', {...sleeping, live: {...quiet, lastFailure: {...failure, code: 'ERR_WRONG_KEY'}}}, [/sleeps/, /generation/, /further "encryption-key"/]],
  ['an app that fails', {...sleeping, live: {...quiet, lastFailure: {...failure, source: 'server'}}}, [/sleeps/, /generation/, /picogate logs a/]],
];

for (const [what, facts, said] of rows) {
  test(`explain(): ${what}`, (t) => {
    const sentences = explain(facts);
    t.is(sentences.length, said.length, sentences.join('\n'));
    for (const [at, pattern] of said.entries()) t.regex(sentences[at] ?? '', pattern);
  });
}

test('residenceOf() believes what was said of the newest generation only', (t) => {
  t.is(residenceOf(running), 'hot');
  t.is(residenceOf(onS3), 'warm+stored');
  t.is(residenceOf({...onS3, placement: {...stored, generation: 2, local: false}}), 'warm');
  t.is(residenceOf({...onS3, placement: {...stored, local: false}}), 'cold');
  t.is(residenceOf({...onS3, status: {...onS3.status, state: 'stopped', rest: {kind: 'files', layers: []}}}), 'none');
});
