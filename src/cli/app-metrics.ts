/** What is told of each app: one series for each, of those of which something is known. */
import {bytesPerGb} from '../store/usage.ts';
import {transitions} from '../supervisor/lifecycle.ts';
import type {AppSnapshot} from './gateway-snapshot.ts';
import type {Metric, Sample} from './prometheus-text.ts';

/** A metric with one series for each app; those of which nothing is known are left out. */
interface AppMetric {
  readonly kind: Metric['kind'];
  readonly name: string;
  readonly help: string;
  readonly value: (app: AppSnapshot) => number | null | undefined;
}

/** A metric with a series for each app and each of a few words. */
interface WordMetric {
  readonly kind: Metric['kind'];
  readonly name: string;
  readonly help: string;
  readonly label: string;
  readonly values: (app: AppSnapshot) => Readonly<Record<string, number | undefined>>;
}

const residences = ['hot', 'warm', 'warm+stored', 'cold', 'none'] as const;

const wordMetrics: readonly WordMetric[] = [
  {
    kind: 'gauge',
    name: 'picogate_app_state',
    help: '1 for the state that the app is in, 0 for the others.',
    label: 'state',
    values: ({state}) => Object.fromEntries(Object.keys(transitions).map((one) => [one, Number(one === state)])),
  },
  {
    kind: 'gauge',
    name: 'picogate_app_residence',
    help: '1 for where the app is, 0 for the others: in memory, on this host, there and in the store, in the store only, nowhere yet.',
    label: 'residence',
    values: ({residence}) => Object.fromEntries(residences.map((one) => [one, Number(one === residence)])),
  },
  {
    kind: 'counter',
    name: 'picogate_app_wakes_total',
    help: 'Wakes that succeeded: restores of a checkpoint, and starts from files.',
    label: 'kind',
    values: ({counts}) => ({restore: counts.restores, start: counts.starts}),
  },
  {
    kind: 'counter',
    name: 'picogate_app_failures_total',
    help: 'What failed: wakes from a checkpoint or from files, putting the app to sleep, and instances whose memory could not be served.',
    label: 'kind',
    values: ({counts}) => ({
      restore: counts.failedRestores,
      start: counts.failedStarts,
      checkpoint: counts.failedCheckpoints,
      instance: counts.failedInstances,
    }),
  },
  {
    kind: 'counter',
    name: 'picogate_app_page_faults_total',
    help: 'Page faults answered with a stored page, or with zeros because nothing is stored there.',
    label: 'kind',
    values: ({paging}) => ({stored: paging?.faults, zero: paging?.zeroFaults}),
  },
];

const plainMetrics: readonly AppMetric[] = [
  counter('picogate_app_wake_seconds_total', 'Time that wakes took, until the app was ready.', ({counts}) => counts.wakeSeconds),
  counter('picogate_app_timed_wakes_total', 'Those of the wakes that were for a timer of the app, or by a schedule.', ({counts}) => counts.timedWakes),
  counter('picogate_app_failovers_total', 'Those of the wakes that were because the worker that had the app was gone.', ({counts}) => counts.failovers),
  counter('picogate_app_restarts_total', 'Those of the wakes that were because the app had ended by itself.', ({counts}) => counts.restarts),
  counter('picogate_app_restore_retries_total', 'Restores that failed and were tried again.', ({counts}) => counts.restoreRetries),
  counter('picogate_app_lease_lapses_total', 'How often the app was stopped because its lease had run out.', ({counts}) => counts.leaseLapses),
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
  counter('picogate_app_flappings_total', 'How often the time without traffic was doubled, as the app did not sleep for long.', ({counts}) => counts.flappings),
  gauge('picogate_app_wakes_refused', '1 while wakes are refused at once, since the last ones failed.', ({isRefused}) => Number(isRefused)),
  gauge('picogate_app_next_wake_timestamp_seconds', 'When a timer of the app, or its schedule, wakes it.', ({nextWakeAt}) => nextWakeAt && nextWakeAt / 1000),
  gauge('picogate_app_flaps', 'How often of late it was woken right after it had fallen asleep.', ({idle}) => idle.flaps),
  gauge('picogate_app_page_faults_waiting', 'Page faults that wait for the store now.', ({paging}) => paging?.waiting),
  gauge('picogate_app_page_fault_wait_seconds', 'How long the oldest of them has waited.', ({paging}) => paging && (paging.waitingMs ?? 0) / 1000),
  gauge('picogate_app_missing_pages', 'Pages of the running app that are not in memory yet.', ({paging}) => paging?.missingPages),
];

function byteSeconds(name: 'activeGbSeconds' | 'storedGbSeconds'): AppMetric['value'] {
  return ({usage}) => usage && usage[name] * bytesPerGb;
}

function counter(name: string, help: string, value: AppMetric['value']): AppMetric {
  return {kind: 'counter', name, help, value};
}

function gauge(name: string, help: string, value: AppMetric['value']): AppMetric {
  return {kind: 'gauge', name, help, value};
}

export function appMetrics(apps: readonly AppSnapshot[]): Metric[] {
  return [...wordMetrics.map((metric) => withWords(metric, apps)), ...plainMetrics.map((metric) => ofEach(metric, apps))];
}

function ofEach({kind, name, help, value}: AppMetric, apps: readonly AppSnapshot[]): Metric {
  return {kind, name, help, samples: apps.map((app) => ({labels: {app: app.name}, value: value(app)}))};
}

function withWords({kind, name, help, label, values}: WordMetric, apps: readonly AppSnapshot[]): Metric {
  const samplesOf = (app: AppSnapshot): Sample[] => Object.entries(values(app)).map(([word, value]) => ({labels: {app: app.name, [label]: word}, value}));
  return {kind, name, help, samples: apps.flatMap(samplesOf)};
}
