/**
 * A snapshot of the gateway in Prometheus' text format. Labels are names of the configuration, and words of ours, so that there are only so many
 * series. https://prometheus.io/docs/practices/naming/
 */
import type {GatewayControl} from '../admin/gateway-control.ts';
import {addCounts, type HistogramCounts, nothingCounted} from '../core/histogram.ts';
import {faultBoundsSeconds} from '../pager/faults/fault-times.ts';
import {requestBoundsSeconds, storeOperations} from '../store/request-times.ts';
import {appMetrics} from './app-metrics.ts';
import {wakeBoundsSeconds, wakePhases} from './event-counts.ts';
import type {GatewaySnapshot} from './gateway-snapshot.ts';
import type {Holds} from './hold-times.ts';
import type {ProcessNumbers} from './process-numbers.ts';
import {type HistogramMetric, type Metric, prometheusText} from './prometheus-text.ts';
import {trafficMetrics} from './traffic-metrics.ts';
import {version} from './version.ts';

type Plain = readonly [kind: Metric['kind'], name: string, help: string, value: number];

export interface MetricSources {
  readonly process: ProcessNumbers;
  /** Null: this process has no apps. */
  readonly apps: GatewaySnapshot | null;
  /** Of sessions for apps that another process runs; null: there are none. */
  readonly holds: Holds | null;
  /** Null: this process has no traffic, or cannot be asked for it. */
  readonly traffic: Pick<GatewayControl, 'frontends' | 'backends'> | null;
}

export function metricsText({process, apps, holds, traffic}: MetricSources): string {
  return prometheusText([
    {kind: 'gauge', name: 'picogate_build_info', help: 'Always 1; the version of the gateway.', samples: [{labels: {version}, value: 1}]},
    ...processMetrics(process).map(plain),
    ...(apps === null ? [] : gatewayMetrics(apps)),
    ...(holds === null ? [] : holdMetrics(holds, null)),
    ...(traffic === null ? [] : trafficMetrics(traffic)),
  ]);
}

function gatewayMetrics(snapshot: GatewaySnapshot): (Metric | HistogramMetric)[] {
  return [
    ...appMetrics(snapshot.apps),
    ...wakeHistograms(snapshot),
    ...pagingHistograms(snapshot),
    ...[...storeMetrics(snapshot), ...memoryMetrics(snapshot), ...workerMetrics(snapshot)].map(plain),
    ...storeHistograms(snapshot),
  ];
}

function plain([kind, name, help, value]: Plain): Metric {
  return {kind, name, help, samples: [{value}]};
}

/** Under the names that Prometheus' own libraries give them. */
function processMetrics({cpuSeconds, residentBytes, heapBytes, startedAtSeconds, openFiles, maxFiles}: ProcessNumbers): readonly Plain[] {
  return [
    ['counter', 'process_cpu_seconds_total', 'Processor time of the gateway, user and system.', cpuSeconds],
    ['gauge', 'process_resident_memory_bytes', 'Memory of the gateway.', residentBytes],
    ['gauge', 'process_start_time_seconds', 'When it was started, in seconds since 1970.', startedAtSeconds],
    ['gauge', 'process_open_fds', 'File descriptors that it has open.', openFiles],
    ['gauge', 'process_max_fds', 'How many it may have.', maxFiles],
    ['gauge', 'nodejs_heap_size_used_bytes', 'What of its memory is objects of JavaScript.', heapBytes],
  ];
}

function wakeHistograms({wakes, holds}: GatewaySnapshot): (Metric | HistogramMetric)[] {
  const {total, phases, packetHolds} = wakes;
  const bounds = wakeBoundsSeconds;
  return [
    {
      kind: 'histogram',
      name: 'picogate_wake_duration_seconds',
      help: 'How long wakes took until the app was ready: restores of a checkpoint, and starts from files.',
      bounds,
      series: (['restore', 'start'] as const).map((kind) => ({labels: {kind}, counted: total[kind]})),
    },
    {
      kind: 'histogram',
      name: 'picogate_wake_phase_duration_seconds',
      help: 'How long the parts of wakes took, which overlap: until they began, the lease was there, the processes ran, the predicted pages were there, and from the processes to ready.',
      bounds,
      series: wakePhases.map((phase) => ({labels: {phase}, counted: phases[phase]})),
    },
    ...holdMetrics(holds, packetHolds),
  ];
}

/** @param packets null: this process holds none */
function holdMetrics({held, times}: Holds, packets: HistogramCounts | null): (Metric | HistogramMetric)[] {
  const sessions = {labels: {kind: 'session'}, counted: times};
  return [
    {
      kind: 'histogram',
      name: 'picogate_hold_duration_seconds',
      help: 'How long sessions, and the packets that woke an app, were held.',
      bounds: wakeBoundsSeconds,
      series: packets === null ? [sessions] : [sessions, {labels: {kind: 'packet'}, counted: packets}],
    },
    {kind: 'gauge', name: 'picogate_sessions_held', help: 'Sessions that are held now until their app is awake.', samples: [{value: held}]},
  ];
}

function pagingHistograms({apps}: GatewaySnapshot): HistogramMetric[] {
  const counted = apps.reduce((sum, {paging}) => addCounts(sum, paging?.faultTimes ?? nothingCounted), nothingCounted);
  const help = 'How long page faults took that were answered with a stored page, with all that they waited for.';
  return [{kind: 'histogram', name: 'picogate_page_fault_duration_seconds', help, bounds: faultBoundsSeconds, series: [{counted}]}];
}

function storeHistograms({remote}: GatewaySnapshot): HistogramMetric[] {
  if (remote === null) return [];
  const series = storeOperations.map((operation) => ({labels: {operation}, counted: remote.requests.times[operation]}));
  const help = 'How long requests to the store took, those that failed included.';
  return [{kind: 'histogram', name: 'picogate_store_request_duration_seconds', help, bounds: requestBoundsSeconds, series}];
}

/** Metrics without labels, of the store on S3. */
function storeMetrics({remote}: GatewaySnapshot): readonly Plain[] {
  if (remote === null) return [];
  const {requests, outage, cacheBytes, layerBytes, cacheLimitBytes, pendingBytes, pendingObjects} = remote;
  return [
    ['gauge', 'picogate_store_reachable', '0 while the store does not answer, as far as anybody has asked it.', Number(outage === null)],
    ['counter', 'picogate_store_requests_total', 'Requests to the store, second and repeated ones included.', requests.requests],
    ['counter', 'picogate_store_retries_total', 'Requests that were repeated.', requests.retries],
    ['counter', 'picogate_store_hedges_total', 'Second requests for what was slow.', requests.hedges],
    ['counter', 'picogate_store_hedges_won_total', 'Those of them that were answered first.', requests.hedgesWon],
    ['counter', 'picogate_store_failures_total', 'Operations that were given up.', requests.failures],
    ['counter', 'picogate_store_read_bytes_total', 'Bytes read from the store.', requests.bytesRead],
    ['counter', 'picogate_store_written_bytes_total', 'Bytes written to the store.', requests.bytesWritten],
    ['gauge', 'picogate_upload_pending_objects', 'Objects that have yet to be uploaded.', pendingObjects],
    ['gauge', 'picogate_upload_pending_bytes', 'Their size.', pendingBytes],
    ['gauge', 'picogate_cache_bytes', 'What copies of stored objects take on this host.', cacheBytes],
    ['gauge', 'picogate_layer_bytes', 'What the files of sleeping apps that are stored take on this host.', layerBytes],
    ['gauge', 'picogate_cache_limit_bytes', 'What both together may take.', cacheLimitBytes],
  ];
}

/** Without labels, where the memory of apps is limited. */
function memoryMetrics({memory}: GatewaySnapshot): readonly Plain[] {
  if (memory === null) return [];
  return [
    ['gauge', 'picogate_memory_used_bytes', 'What the apps that are awake use of memory together.', memory.usedBytes],
    ['gauge', 'picogate_memory_high_bytes', 'Above this the apps that were used longest ago are put to sleep.', memory.highBytes],
    ['gauge', 'picogate_memory_low_bytes', 'Until they use less than this.', memory.lowBytes],
  ];
}

function workerMetrics({workers}: GatewaySnapshot): readonly Plain[] {
  if (workers === null) return [];
  return [
    ['gauge', 'picogate_workers_alive', 'Workers of this Redis that are heard of.', workers.alive],
    ['gauge', 'picogate_workers_drained', 'Workers on which nothing is woken: drained, or about to stop.', workers.drained],
    ['gauge', 'picogate_workers_stopped', 'Workers that were stopped in good order.', workers.stopped],
    ['gauge', 'picogate_workers_gone', 'Workers that are not heard of any more.', workers.gone],
  ];
}
