/**
 * A snapshot of the gateway in Prometheus' text format. Labels are names of apps of the configuration, and words of ours, so that there are only
 * so many series. https://prometheus.io/docs/practices/naming/
 */
import type * as PromClient from 'prom-client';
import {bytesPerGb} from '../store/usage.ts';
import {transitions} from '../supervisor/lifecycle.ts';
import {wakeBoundsSeconds} from './event-counts.ts';
import type {AppSnapshot, GatewaySnapshot} from './gateway-snapshot.ts';

type Client = typeof PromClient;
type Kind = 'Counter' | 'Gauge';

/** A metric with one series for each app; those of which nothing is known are left out. */
interface AppMetric {
  readonly kind: Kind;
  readonly name: string;
  readonly help: string;
  readonly value: (app: AppSnapshot) => number | null | undefined;
}

/** A metric with a series for each app and each of a few words. */
interface WordMetric {
  readonly kind: Kind;
  readonly name: string;
  readonly help: string;
  readonly label: string;
  readonly values: (app: AppSnapshot) => Readonly<Record<string, number | undefined>>;
}

const residences = ['hot', 'warm', 'warm+stored', 'cold', 'none'] as const;

const wordMetrics: readonly WordMetric[] = [
  {
    kind: 'Gauge',
    name: 'picogate_app_state',
    help: '1 for the state that the app is in, 0 for the others.',
    label: 'state',
    values: ({state}) => Object.fromEntries(Object.keys(transitions).map((one) => [one, Number(one === state)])),
  },
  {
    kind: 'Gauge',
    name: 'picogate_app_residence',
    help: '1 for where the app is, 0 for the others: in memory, on this host, there and in the store, in the store only, nowhere yet.',
    label: 'residence',
    values: ({residence}) => Object.fromEntries(residences.map((one) => [one, Number(one === residence)])),
  },
  {
    kind: 'Counter',
    name: 'picogate_app_wakes_total',
    help: 'Wakes that succeeded: restores of a checkpoint, and starts from files.',
    label: 'kind',
    values: ({counts}) => ({restore: counts.restores, start: counts.starts}),
  },
  {
    kind: 'Counter',
    name: 'picogate_app_page_faults_total',
    help: 'Page faults answered with a stored page, or with zeros because nothing is stored there.',
    label: 'kind',
    values: ({paging}) => ({stored: paging?.faults, zero: paging?.zeroFaults}),
  },
];

const appMetrics: readonly AppMetric[] = [
  counter('picogate_app_wake_seconds_total', 'Time that wakes took, until the app was ready.', ({counts}) => counts.wakeSeconds),
  counter('picogate_app_timed_wakes_total', 'Those of the wakes that were for a timer of the app, or by a schedule.', ({counts}) => counts.timedWakes),
  counter('picogate_app_failures_total', 'Wakes, checkpoints and instances that failed.', ({counts}) => counts.failures),
  counter('picogate_app_deaths_total', 'How often the app has ended by itself.', ({counts}) => counts.deaths),
  counter('picogate_app_fallbacks_total', 'Wakes without the newest checkpoint, which could not be restored.', ({counts}) => counts.fallbacks),
  counter('picogate_app_hibernations_total', 'How often the app was put to sleep.', ({counts}) => counts.hibernations),
  counter('picogate_app_evictions_total', 'How often that was to free memory.', ({counts}) => counts.evictions),
  counter('picogate_app_hibernation_seconds_total', 'Time that putting it to sleep took.', ({counts}) => counts.hibernationSeconds),
  counter('picogate_app_frozen_seconds_total', 'Time from the freezing of its tasks to their end.', ({counts}) => counts.frozenSeconds),
  counter('picogate_app_hibernation_bytes_total', 'Bytes written when it was put to sleep.', ({counts}) => counts.hibernationBytes),
  counter('picogate_app_compactions_total', 'Checkpoints that were written again in fewer segments.', ({counts}) => counts.compactions),
  counter('picogate_app_compaction_bytes_total', 'Bytes written for that.', ({counts}) => counts.compactionBytes),
  counter(
    'picogate_app_checks_answered_total',
    'Health checks from outside that were answered in its place while it slept.',
    ({checksAnswered}) => checksAnswered,
  ),
  counter('picogate_app_active_byte_seconds_total', 'Memory that the app used while it ran, times time; as of all workers.', byteSeconds('activeGbSeconds')),
  counter('picogate_app_stored_byte_seconds_total', 'What is kept of the app, times time; as of all workers.', byteSeconds('storedGbSeconds')),
  counter('picogate_app_predicted_pages_total', 'Pages that were to be installed before they are touched.', ({paging}) => paging?.predictedPages),
  counter('picogate_app_predicted_pages_unused_total', 'Those of them that were not touched, as an estimate.', ({paging}) => paging?.unusedPages),
  counter('picogate_app_read_ahead_pages_total', 'Pages that were installed along with the fault of another one.', ({paging}) => paging?.broughtPages),
  gauge('picogate_app_pinned', '1 for an app that is not put to sleep.', ({isPinned}) => Number(isPinned)),
  gauge('picogate_app_idle_limit_seconds', 'How long without traffic it is put to sleep after.', ({idle}) => idle.afterMs && idle.afterMs / 1000),
  gauge('picogate_app_flaps', 'How often of late it was woken right after it had fallen asleep.', ({idle}) => idle.flaps),
  gauge('picogate_app_page_faults_waiting', 'Page faults that wait for the store now.', ({paging}) => paging?.waiting),
  gauge('picogate_app_page_fault_wait_seconds', 'How long the oldest of them has waited.', ({paging}) => paging && (paging.waitingMs ?? 0) / 1000),
  gauge('picogate_app_missing_pages', 'Pages of the running app that are not in memory yet.', ({paging}) => paging?.missingPages),
];

function byteSeconds(name: 'activeGbSeconds' | 'storedGbSeconds'): AppMetric['value'] {
  return ({usage}) => usage && usage[name] * bytesPerGb;
}

function counter(name: string, help: string, value: AppMetric['value']): AppMetric {
  return {kind: 'Counter', name, help, value};
}

function gauge(name: string, help: string, value: AppMetric['value']): AppMetric {
  return {kind: 'Gauge', name, help, value};
}

/** Metrics without labels, of the store on S3. */
function storeMetrics({remote}: GatewaySnapshot): readonly (readonly [kind: Kind, name: string, help: string, value: number])[] {
  if (remote === null) return [];
  const {requests, outage, cacheBytes, layerBytes, cacheLimitBytes, pendingBytes, pendingObjects} = remote;
  return [
    ['Gauge', 'picogate_store_reachable', '0 while the store does not answer, as far as anybody has asked it.', Number(outage === null)],
    ['Counter', 'picogate_store_requests_total', 'Requests to the store, second and repeated ones included.', requests.requests],
    ['Counter', 'picogate_store_retries_total', 'Requests that were repeated.', requests.retries],
    ['Counter', 'picogate_store_hedges_total', 'Second requests for what was slow.', requests.hedges],
    ['Counter', 'picogate_store_hedges_won_total', 'Those of them that were answered first.', requests.hedgesWon],
    ['Counter', 'picogate_store_failures_total', 'Operations that were given up.', requests.failures],
    ['Counter', 'picogate_store_read_bytes_total', 'Bytes read from the store.', requests.bytesRead],
    ['Counter', 'picogate_store_written_bytes_total', 'Bytes written to the store.', requests.bytesWritten],
    ['Gauge', 'picogate_upload_pending_objects', 'Objects that have yet to be uploaded.', pendingObjects],
    ['Gauge', 'picogate_upload_pending_bytes', 'Their size.', pendingBytes],
    ['Gauge', 'picogate_cache_bytes', 'What copies of stored objects take on this host.', cacheBytes],
    ['Gauge', 'picogate_layer_bytes', 'What the files of sleeping apps that are stored take on this host.', layerBytes],
    ['Gauge', 'picogate_cache_limit_bytes', 'What both together may take.', cacheLimitBytes],
  ];
}

/** Without labels, where the memory of apps is limited. */
function memoryMetrics({memory}: GatewaySnapshot): readonly (readonly [kind: Kind, name: string, help: string, value: number])[] {
  if (memory === null) return [];
  return [
    ['Gauge', 'picogate_memory_used_bytes', 'What the apps that are awake use of memory together.', memory.usedBytes],
    ['Gauge', 'picogate_memory_high_bytes', 'Above this the apps that were used longest ago are put to sleep.', memory.highBytes],
    ['Gauge', 'picogate_memory_low_bytes', 'Until they use less than this.', memory.lowBytes],
  ];
}

function workerMetrics({workers}: GatewaySnapshot): readonly (readonly [kind: Kind, name: string, help: string, value: number])[] {
  if (workers === null) return [];
  return [
    ['Gauge', 'picogate_workers_alive', 'Workers of this Redis that are heard of.', workers.alive],
    ['Gauge', 'picogate_workers_drained', 'Workers on which nothing is woken: drained, or about to stop.', workers.drained],
    ['Gauge', 'picogate_workers_stopped', 'Workers that were stopped in good order.', workers.stopped],
    ['Gauge', 'picogate_workers_gone', 'Workers that are not heard of any more.', workers.gone],
  ];
}

/** prom-client is imported when the first text is made: it costs its process some 20 MB. */
export async function metricsText(snapshot: GatewaySnapshot): Promise<string> {
  const client = await import('prom-client');
  const registry = new client.Registry();
  for (const metric of wordMetrics) addWords(client, registry, metric, snapshot.apps);
  for (const {kind, name, help, value} of appMetrics) {
    const metric = new client[kind]({name, help, labelNames: ['app'], registers: [registry]});
    for (const app of snapshot.apps) {
      const found = value(app);
      if (found !== undefined && found !== null) metric.inc({app: app.name}, found);
    }
  }
  for (const [kind, name, help, value] of [...storeMetrics(snapshot), ...memoryMetrics(snapshot), ...workerMetrics(snapshot)])
    new client[kind]({name, help, registers: [registry]}).inc(value);
  return `${await registry.metrics()}\n${wakeHistogram(snapshot)}`;
}

function addWords(client: Client, registry: PromClient.Registry, {kind, name, help, label, values}: WordMetric, apps: readonly AppSnapshot[]): void {
  const metric = new client[kind]({name, help, labelNames: ['app', label], registers: [registry]});
  for (const app of apps) {
    for (const [word, value] of Object.entries(values(app))) if (value !== undefined) metric.inc({app: app.name, [label]: word}, value);
  }
}

/** The times were counted before, and the library only shows what it has counted itself. */
function wakeHistogram({wakes, apps}: GatewaySnapshot): string {
  const name = 'picogate_wake_duration_seconds';
  let count = 0;
  const buckets = [...wakeBoundsSeconds, '+Inf'].map((le, at) => {
    count += wakes[at] ?? 0;
    return `${name}_bucket{le="${le}"} ${count}`;
  });
  const seconds = apps.reduce((sum, {counts}) => sum + counts.wakeSeconds, 0);
  const head = [`# HELP ${name} How long wakes took until the app was ready.`, `# TYPE ${name} histogram`];
  return [...head, ...buckets, `${name}_sum ${seconds}`, `${name}_count ${count}`, ''].join('\n');
}
