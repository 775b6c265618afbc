/** What the edge counts: frontends, backends and their servers. The numbers are those of `show stat`. */
import type {BackendControl, FrontendControl, GatewayControl, ServerControl} from '../admin/gateway-control.ts';
import type {TrafficStats} from '../admin/traffic-stats.ts';
import type {Labels, Metric, Sample} from './prometheus-text.ts';

interface TrafficMetric {
  readonly kind: Metric['kind'];
  /** Without what it is of: `sessions_total`. */
  readonly name: string;
  readonly help: string;
  readonly samples: (stats: TrafficStats) => readonly Sample[];
}

const common: readonly TrafficMetric[] = [
  gauge('sessions', 'Sessions at this moment.', ({sessions}) => sessions),
  counter('sessions_total', 'Sessions since the start.', ({sessionsTotal}) => sessionsTotal),
  counter('received_bytes_total', 'Bytes from clients.', ({bytesIn}) => bytesIn),
  counter('sent_bytes_total', 'Bytes to clients.', ({bytesOut}) => bytesOut),
  {
    kind: 'counter',
    name: 'http_responses_total',
    help: 'Answers, by the first digit of their status.',
    samples: ({responses: {informational, success, redirection, clientError, serverError, other}}) =>
      Object.entries({'1xx': informational, '2xx': success, '3xx': redirection, '4xx': clientError, '5xx': serverError, other}).map(([code, value]) => ({
        labels: {code},
        value,
      })),
  },
];

const ofFrontends: readonly TrafficMetric[] = [
  ...common,
  counter('requests_total', 'Requests of mode http.', ({requestsTotal}) => requestsTotal),
  counter('request_errors_total', 'Requests that were not understood, or came too slowly.', ({requestErrors}) => requestErrors),
  counter(
    'denied_total',
    'Connections, sessions, requests and answers that rules refused.',
    ({deniedConnections, deniedSessions, deniedRequests, deniedResponses}) => deniedConnections + deniedSessions + deniedRequests + deniedResponses,
  ),
  gauge('sessions_waiting', 'Sessions that wait for a server: for a wake, a free place, or a connection.', ({queued}) => queued),
];

const ofBackends: readonly TrafficMetric[] = [
  ...common,
  gauge('queued_sessions', 'Sessions that wait for a free place.', ({queued}) => queued),
  counter('connection_errors_total', 'Connections that could not be made, and wakes that failed.', ({connectErrors}) => connectErrors),
  counter('response_errors_total', 'Answers that could not be used.', ({responseErrors}) => responseErrors),
  counter('retries_total', 'Connections that were tried again.', ({retries}) => retries),
  counter('redispatches_total', 'Sessions that went to another server then.', ({redispatches}) => redispatches),
];

function counter(name: string, help: string, value: (stats: TrafficStats) => number): TrafficMetric {
  return {kind: 'counter', name, help, samples: (stats) => [{value: value(stats)}]};
}

function gauge(name: string, help: string, value: (stats: TrafficStats) => number): TrafficMetric {
  return {kind: 'gauge', name, help, samples: (stats) => [{value: value(stats)}]};
}

/** `clear counters` sets them back, as a restart does. */
export function trafficMetrics(control: Pick<GatewayControl, 'frontends' | 'backends'>): Metric[] {
  const frontends = [...control.frontends()].map(({name, stats}: FrontendControl) => ({labels: {frontend: name}, stats}));
  const backends = [...control.backends()];
  const servers = backends.flatMap((backend: BackendControl) =>
    [...backend.servers()].map((server) => ({labels: serverLabels(backend, server), stats: server.stats, server})),
  );
  const backendStats = backends.map(({name, stats}) => ({labels: {backend: name}, stats}));
  return [
    ...ofFrontends.map((metric) => metricOf('frontend', metric, frontends)),
    ...ofBackends.map((metric) => metricOf('backend', metric, backendStats)),
    ...ofBackends.map((metric) => metricOf('server', metric, servers)),
    {
      kind: 'gauge',
      name: 'picogate_server_up',
      help: '1 for a server that can be used; an app that sleeps can.',
      samples: servers.map(({labels, server}) => ({labels, value: Number(server.health !== 'down' && isInUse(server))})),
    },
  ];
}

function isInUse({administrative}: ServerControl): boolean {
  return administrative === 'ready' || administrative === 'drain';
}

function serverLabels(backend: BackendControl, {name}: ServerControl): Labels {
  return {backend: backend.name, server: name};
}

function metricOf(of: string, {kind, name, help, samples}: TrafficMetric, all: readonly {readonly labels: Labels; readonly stats: TrafficStats}[]): Metric {
  const found = all.flatMap(({labels, stats}) => samples(stats).map(({labels: more, value}) => ({labels: {...labels, ...more}, value})));
  return {kind, name: `picogate_${of}_${name}`, help, samples: found};
}
