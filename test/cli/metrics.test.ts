import test from 'ava';
import {EventCounts} from '../../src/cli/event-counts.ts';
import type {GatewaySnapshot} from '../../src/cli/gateway-snapshot.ts';
import {metricsText} from '../../src/cli/metrics-text.ts';
import {prometheusText} from '../../src/cli/prometheus-text.ts';
import {systemClock} from '../../src/core/clock.ts';
import {appName} from '../../src/core/ids.ts';
import {RequestTimes} from '../../src/store/request-times.ts';
import {memoryGateway} from '../admin/memory-gateway.ts';
import {durableApp, listen} from '../helpers/durable-app.ts';
import {freePort, testGateway} from '../helpers/gateway.ts';
import {ask} from '../helpers/line-client.ts';
import {checkMonitoring} from '../helpers/monitoring.ts';
import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';

const app = appName('blog');
const faultTimes = {counts: [0, 3, 4], sum: 0.000_2};

function counted(): EventCounts {
  const counts = new EventCounts();
  counts.add({at: 1, app, kind: 'woken', ms: 20, cold: 1, trigger: 'schedule @daily', by: 'schedule', holdMs: 0, placeMs: 1.5, restoreMs: 15, readyMs: 5});
  counts.add({at: 2, app, kind: 'woken', ms: 21, cold: 0, trigger: 'timer', by: 'timer', holdMs: 0, placeMs: 1, restoreMs: 20, readyMs: 1, pagesMs: 4});
  counts.add({at: 2, app, kind: 'paged', ms: 3000, pages: 9});
  counts.add({at: 3, app, kind: 'woken', ms: 60_000, cold: 0, trigger: 'failover', by: 'packet', holdMs: 500});
  counts.add({at: 4, app, kind: 'hibernated', ms: 500, frozenMs: 250, bytesWritten: 4096});
  counts.add({at: 4, app, kind: 'evicted', reason: 'memory-high'});
  counts.add({at: 5, app, kind: 'compacted', bytesWritten: 100});
  for (const what of ['restore', 'restore', 'checkpoint', 'instance', 'start']) counts.add({at: 6, app, kind: 'error', what, message: 'no'});
  for (const kind of ['restore-retried', 'flapping', 'stands-still']) counts.add({at: 7, app, kind});
  counts.add({at: 8, app: null, kind: 'error'});
  return counts;
}

function snapshot(counts: EventCounts): GatewaySnapshot {
  const paging = {
    app,
    faults: 7,
    zeroFaults: 5,
    predictedPages: 100,
    unusedPages: 3,
    broughtPages: 12,
    faultTimes,
    waiting: 2,
    waitingMs: 1500,
    waitingReason: 'the store is away',
    missingPages: 42,
    standsStill: false,
  };
  const requests = {requests: 9, hedges: 2, hedgesWon: 1, retries: 3, failures: 4, bytesRead: 1000, bytesWritten: 2000, times: requestTimes()};
  const outage = {since: 1, askedAt: 2, message: 'refused'};
  const remote = {place: 'bucket "b"', requests, outage, cacheBytes: 10, layerBytes: 0, cacheLimitBytes: 20, pendingObjects: 1, pendingBytes: 5};
  const unknown = {
    name: 'never',
    state: 'stopped',
    residence: 'none',
    idle: {afterMs: null, flaps: 0},
    isPinned: false,
    isRefused: false,
    nextWakeAt: null,
    counts: counts.of('never'),
    checksAnswered: 0,
    usage: null,
    paging: null,
  } as const;
  const known = {
    name: app,
    state: 'running',
    residence: 'hot',
    idle: {afterMs: 120_000, flaps: 3},
    isPinned: true,
    isRefused: true,
    nextWakeAt: 1_800_000_000_500,
    counts: counts.of(app),
    checksAnswered: 6,
    usage: {activeGbSeconds: 12.5, storedGbSeconds: 100, wakes: 3},
    paging,
  } as const;
  return {
    process: {cpuSeconds: 1.5, residentBytes: 100, heapBytes: 50, startedAtSeconds: 1_700_000_000, openFiles: 20, maxFiles: 1024},
    holds: {held: 2, times: {counts: [1, 2], sum: 0.005}},
    apps: [known, unknown],
    wakes: counts.wakes,
    remote,
    memory: {usedBytes: 500, highBytes: 1000, lowBytes: 750},
    workers: {alive: 2, stopped: 0, gone: 1, drained: 1},
  };
}

function requestTimes(): RequestTimes['counted'] {
  return {...new RequestTimes(systemClock).counted, get: {counts: [4, 5], sum: 0.25}};
}

function textOf(apps: GatewaySnapshot | null): string {
  const {process, holds} = snapshot(counted());
  return metricsText({process, apps, holds: apps === null ? holds : null, traffic: memoryGateway()});
}

test('metricsText() has what was counted and what is', (t) => {
  const lines = textOf(snapshot(counted())).split('\n');
  for (const line of [
    'picogate_app_state{app="blog",state="running"} 1',
    'picogate_app_state{app="blog",state="hibernated"} 0',
    'picogate_app_residence{app="never",residence="none"} 1',
    'picogate_app_wakes_total{app="blog",kind="restore"} 2',
    'picogate_app_timed_wakes_total{app="blog"} 2',
    'picogate_app_evictions_total{app="blog"} 1',
    'picogate_app_active_byte_seconds_total{app="blog"} 13421772800',
    'picogate_app_stored_byte_seconds_total{app="blog"} 107374182400',
    'picogate_app_idle_limit_seconds{app="blog"} 120',
    'picogate_app_flaps{app="blog"} 3',
    'picogate_app_pinned{app="blog"} 1',
    'picogate_memory_used_bytes 500',
    'picogate_memory_high_bytes 1000',
    'picogate_app_wakes_total{app="blog",kind="start"} 1',
    'picogate_app_checks_answered_total{app="blog"} 6',
    'picogate_app_wakes_total{app="never",kind="restore"} 0',
    'picogate_app_wake_seconds_total{app="blog"} 60.041',
    'picogate_app_failures_total{app="blog",kind="restore"} 2',
    'picogate_app_failures_total{app="blog",kind="start"} 1',
    'picogate_app_failures_total{app="blog",kind="checkpoint"} 1',
    'picogate_app_failures_total{app="blog",kind="instance"} 1',
    'picogate_app_restore_retries_total{app="blog"} 1',
    'picogate_app_failovers_total{app="blog"} 1',
    'picogate_app_restarts_total{app="blog"} 0',
    'picogate_app_flappings_total{app="blog"} 1',
    'picogate_app_lease_lapses_total{app="blog"} 1',
    'picogate_app_wakes_refused{app="blog"} 1',
    'picogate_app_next_wake_timestamp_seconds{app="blog"} 1800000000.5',
    'picogate_app_frozen_seconds_total{app="blog"} 0.25',
    'picogate_app_hibernation_bytes_total{app="blog"} 4096',
    'picogate_app_page_faults_total{app="blog",kind="stored"} 7',
    'picogate_app_predicted_pages_total{app="blog"} 100',
    'picogate_app_predicted_pages_unused_total{app="blog"} 3',
    'picogate_app_page_faults_waiting{app="blog"} 2',
    'picogate_app_page_fault_wait_seconds{app="blog"} 1.5',
    'picogate_wake_duration_seconds_bucket{kind="start",le="0.01"} 0',
    'picogate_wake_duration_seconds_bucket{kind="start",le="0.02"} 1',
    'picogate_wake_duration_seconds_bucket{kind="restore",le="0.03"} 1',
    'picogate_wake_duration_seconds_bucket{kind="restore",le="10"} 1',
    'picogate_wake_duration_seconds_bucket{kind="restore",le="+Inf"} 2',
    'picogate_wake_duration_seconds_sum{kind="restore"} 60.021',
    'picogate_wake_duration_seconds_count{kind="restore"} 2',
    'picogate_wake_phase_duration_seconds_bucket{phase="place",le="0.001"} 1',
    'picogate_wake_phase_duration_seconds_count{phase="place"} 2',
    'picogate_wake_phase_duration_seconds_count{phase="hold"} 3',
    'picogate_wake_phase_duration_seconds_sum{phase="pages"} 3.004',
    'picogate_hold_duration_seconds_count{kind="session"} 3',
    'picogate_hold_duration_seconds_sum{kind="packet"} 60.5',
    'picogate_sessions_held 2',
    'picogate_page_fault_duration_seconds_bucket{le="0.00002"} 3',
    'picogate_page_fault_duration_seconds_count 7',
    'picogate_store_request_duration_seconds_bucket{operation="get",le="0.01"} 9',
    'picogate_store_request_duration_seconds_count{operation="put"} 0',
    'process_cpu_seconds_total 1.5',
    'process_open_fds 20',
    'picogate_frontend_sessions{frontend="fe"} 0',
    'picogate_server_up{backend="bk",server="dis"} 0',
    'picogate_store_reachable 0',
    'picogate_store_retries_total 3',
    'picogate_upload_pending_bytes 5',
    'picogate_cache_bytes 10',
    'picogate_workers_alive 2',
    'picogate_workers_drained 1',
    'picogate_workers_gone 1',
  ])
    t.true(lines.includes(line), `${line} in\n${lines.join('\n')}`);
  t.false(lines.some((line) => line.startsWith('picogate_app_page_faults_waiting{app="never"}')));
});

test('what there is not is left out', (t) => {
  t.notRegex(textOf({...snapshot(counted()), remote: null}), /picogate_(store|upload|cache)/);
  t.notRegex(textOf(null), /picogate_(app|wake)/);
  t.regex(textOf(null), /^picogate_hold_duration_seconds_count\{kind="session"\} 3$/m);
});

test('names of the configuration cannot end a line', (t) => {
  const metric = {kind: 'gauge', name: 'a', help: 'A.', samples: [{labels: {app: 'a"b\\c\n'}, value: 1}]} as const;
  t.is(prometheusText([metric]), '# HELP a A.\n# TYPE a gauge\na{app="a\\"b\\\\c\\n"} 1\n');
});

rootTest('picogate metrics tells of a gateway from outside', async (t) => {
  const port = await freePort();
  const statsPort = await freePort();
  const statistics = `listen statistics\n    mode http\n    bind 127.0.0.1:${statsPort}\n    stats enable\n`;
  const gateway = await testGateway(t, `${await durableApp('a', ['hibernate-after never'])}${listen('a', port)}${statistics}`);
  await gateway.start();
  await ask(port, 'count');
  await gateway.hibernate('a');
  await ask(port, 'count');
  const text = await gateway.cli('metrics');
  t.regex(text, /^picogate_app_state\{app="a",state="running"\} 1$/m);
  t.regex(text, /^picogate_app_wakes_total\{app="a",kind="start"\} 1$/m);
  t.regex(text, /^picogate_app_wakes_total\{app="a",kind="restore"\} 1$/m);
  t.regex(text, /^picogate_app_hibernations_total\{app="a"\} 1$/m);
  t.regex(text, /^picogate_app_hibernation_bytes_total\{app="a"\} [1-9]\d{6,}$/m);
  t.regex(text, /^picogate_app_page_faults_total\{app="a",kind="stored"\} [1-9]/m);
  t.regex(text, /^picogate_wake_duration_seconds_count\{kind="restore"\} 1$/m);
  t.regex(text, /^picogate_wake_phase_duration_seconds_count\{phase="restore"\} 2$/m);
  t.regex(text, /^picogate_hold_duration_seconds_count\{kind="session"\} 2$/m);
  t.regex(text, /^picogate_page_fault_duration_seconds_count [1-9]/m);

  const served = await (await fetch(`http://127.0.0.1:${statsPort}/metrics`)).text();
  t.regex(served, /^picogate_frontend_sessions_total\{frontend="a"\} 2$/m);
  t.regex(served, /^picogate_server_up\{backend="a",server="s"\} 1$/m);
  await checkMonitoring(t, served, textOf(snapshot(counted())));
  // Faults of an instance that has ended stay counted.
  const faults = (from: string): number => Number(/^picogate_app_page_faults_total\{app="a",kind="stored"\} (\d+)$/m.exec(from)?.[1]);
  await gateway.hibernate('a');
  t.true(faults(await gateway.cli('metrics')) >= faults(text));
  // What the first restore has touched is expected by the second one.
  await ask(port, 'count');
  await until(async () => /^picogate_wake_phase_duration_seconds_count\{phase="pages"\} 1$/m.test(await gateway.cli('metrics')), {intervalMs: 500});
});
