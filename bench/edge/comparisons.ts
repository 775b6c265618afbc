/** What is compared with whom, and what the project wants to reach. */
import {type Comparison, comparisonPart, type RatioGoal} from './comparison.ts';
import type {EdgeBench} from './edge-bench.ts';
import {connectionCounts, type LoadKind, largeTransfer, messages, newConnections, requests, smallTransfers} from './load-kinds.ts';
import {natHost} from './nat-host.ts';
import {startHttpProxy, startNginx, startSocketProxy} from './peers.ts';
import {
  asContender,
  type Contender,
  startHaproxy,
  startHaproxyOnAllCores,
  startOrigin,
  startPicogate,
  startPicogateOnAllCores,
  type Where,
} from './programs.ts';
import {openEchoServer} from './websocket-load.ts';

const requestKinds = connectionCounts.map(requests);
const messageKinds = connectionCounts.map(messages);
/** The one by which requests per second are judged. */
const usualRequests = requests(32);
const kinds = [...requestKinds, newConnections, smallTransfers, largeTransfer];

/** p99 at most twice that of HAProxy. */
function latencyGoals(loads: readonly LoadKind[]): RatioGoal[] {
  return loads.map((kind) => ({kind, value: 'p99Micros', peer: 'HAProxy', limit: {atMost: 2}}));
}

function rateGoal(kind: LoadKind, peer: string, atLeast: number): RatioGoal {
  return {kind, value: kind.value, peer, limit: {atLeast}};
}

type Start = (where: Where) => Promise<Contender>;

/** The origin, and these in front of it. */
function inFrontOfOrigin(starts: readonly Start[], {withDirect}: {readonly withDirect: boolean}): Comparison['start'] {
  return async (scope, {directory}: EdgeBench) => {
    const origin = scope.use(await startOrigin(directory));
    const contenders: Contender[] = [];
    for (const start of starts) contenders.push(scope.use(await start({directory, origin: origin.address, echo: null})));
    return {contenders: withDirect ? [...contenders, asContender(origin)] : contenders, echo: null};
  };
}

const tcp: Comparison = {
  name: 'tcp',
  summary: 'mode tcp: requests, new connections, transfers',
  title: 'mode tcp',
  service: 'tcp',
  kinds,
  curveKinds: requestKinds,
  contenders: ['Picogate', 'HAProxy', 'nginx', 'socket-proxyd', 'direct'],
  goals: [rateGoal(usualRequests, 'HAProxy', 0.85), rateGoal(newConnections, 'HAProxy', 0.6), ...latencyGoals(requestKinds)],
  start: inFrontOfOrigin([startPicogate, startHaproxy, startNginx, startSocketProxy], {withDirect: true}),
};

const http: Comparison = {
  ...tcp,
  name: 'http',
  summary: 'mode http: requests, new connections, transfers',
  title: 'mode http',
  service: 'http',
  contenders: ['Picogate', 'HAProxy', 'nginx', 'http-proxy', 'direct'],
  goals: [rateGoal(usualRequests, 'http-proxy', 2.2), rateGoal(usualRequests, 'HAProxy', 0.45), ...latencyGoals(requestKinds)],
  start: inFrontOfOrigin([startPicogate, startHaproxy, startNginx, startHttpProxy], {withDirect: true}),
};

const tls: Comparison = {
  ...tcp,
  name: 'tls',
  summary: 'mode http with TLS: requests, handshakes, transfers',
  title: 'TLS',
  service: 'tls',
  contenders: ['Picogate', 'HAProxy', 'nginx'],
  goals: latencyGoals(requestKinds),
  start: inFrontOfOrigin([startPicogate, startHaproxy, startNginx], {withDirect: false}),
};

const websocket: Comparison = {
  name: 'websocket',
  summary: 'WebSockets through mode http: messages and their echoes',
  title: 'WebSocket',
  service: 'websocket',
  kinds: messageKinds,
  curveKinds: messageKinds,
  contenders: ['Picogate', 'HAProxy', 'nginx', 'http-proxy'],
  goals: latencyGoals(messageKinds),
  async start(scope, {directory}) {
    const echo = scope.use(openEchoServer());
    const origin = scope.use(await startOrigin(directory));
    const where: Where = {directory, origin: origin.address, echo: `127.0.0.1:${echo.port}`};
    const contenders: Contender[] = [];
    for (const start of [startPicogate, startHaproxy, startNginx, startHttpProxy]) contenders.push(scope.use(await start(where)));
    return {contenders, echo};
  },
};

const nat: Comparison = {
  ...tcp,
  name: 'nat',
  summary: 'mode nat to an app that is awake: requests, new connections, transfers',
  title: 'mode nat',
  service: 'nat',
  contenders: ['Picogate', 'HAProxy', 'direct'],
  goals: [rateGoal(usualRequests, 'HAProxy', 1.5), rateGoal(newConnections, 'HAProxy', 1.3), ...latencyGoals(requestKinds)],
  start: natHost,
};

const cores: Comparison = {
  ...http,
  name: 'cores',
  summary: 'mode http with one process, and on all cores',
  title: 'mode http, one and all cores',
  kinds: [requests(256), newConnections],
  curveKinds: [],
  contenders: ['Picogate, all cores', 'Picogate', 'HAProxy, all cores', 'HAProxy'],
  goals: [],
  start: inFrontOfOrigin([startPicogateOnAllCores, startPicogate, startHaproxyOnAllCores, startHaproxy], {withDirect: false}),
};

export const comparisonParts = [nat, tcp, http, tls, websocket, cores].map(comparisonPart);
