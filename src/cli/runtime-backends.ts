/** Backends and their servers as the runtime API sees them. */
import {isIP} from 'node:net';
import type {AgentFacts, BackendControl, CheckFacts, ServerControl} from '../admin/gateway-control.ts';
import {isServiceName} from '../config/address.ts';
import {parseDynamicServer} from '../config/dynamic-server.ts';
import type {Target} from '../config/proxy-value.ts';
import {CodedError} from '../core/errors.ts';
import {type CheckResult, checkStatuses} from '../edge/checks/check-result.ts';
import type {DynamicServers} from '../edge/edge-parts.ts';
import type {AssignedServer} from '../edge/pool/assignment.ts';
import type {Pool} from '../edge/pool/pool.ts';
import type {Pools} from '../edge/pool/pools.ts';
import {cutAll} from '../edge/pool/shut-sessions.ts';
import {refuseChange} from './runtime-refusal.ts';
import {serverTraffic} from './runtime-traffic.ts';
import {sumTraffic} from './threads/sum-traffic.ts';
import type {BackendSnapshot} from './threads/thread-snapshot.ts';
import type {ThreadedGeneration} from './threads/threaded-generation.ts';

export interface BackendSurroundings {
  readonly pools: Pools;
  readonly dynamicServers: DynamicServers;
  /** Where an app is; null: it is not known. */
  readonly appHost: (app: string) => string | null;
  /** Other threads have the same servers; of what changes their state they are told where it is changed. */
  readonly threaded: ThreadedGeneration;
}

export function backendControl(pool: Pool, id: number, surroundings: BackendSurroundings): BackendControl {
  const {config, counted, servers, queued, fullconn} = pool;
  const {threaded} = surroundings;
  const nowMs = pool.clock.monotonicMs();
  const isDown = servers.length > 0 && pool.usableServers === 0;
  const waiting = servers.reduce((sum, {queue}) => sum + queue.size, queued);
  return {
    name: config.name,
    id,
    mode: config.mode,
    balance: config.balance.kind,
    cookie: config.cookie?.name ?? null,
    fullconn,
    stats: sumTraffic(
      serverTraffic(counted, {sessions: pool.sessions(), queued: waiting, nowMs}),
      backendElsewhere(pool, threaded).map(({stats}) => stats),
    ),
    ...timesOf(counted, {isDown, nowMs}),
    timesDown: counted.timesDown,
    *servers() {
      for (const server of servers) yield serverControl(pool, server, surroundings);
    },
    addServer: (name, address, settings) => surroundings.dynamicServers.add(pool, parseDynamicServer(config, [name, address, ...settings])),
    setDynamicCookies: ({key, isOn}) => {
      if (key !== undefined) pool.cookies.key = key;
      if (isOn !== undefined) pool.cookies.isDynamic = isOn;
      threaded.tell({what: 'cookies', backend: config.name, ...(key === undefined ? {} : {key}), ...(isOn === undefined ? {} : {isOn})});
    },
    removeServer(name) {
      const server = pool.server(name);
      if (server === null) return;
      if (isPointedTo(pool, name, surroundings)) throw new CodedError('ERR_IN_USE', pointedTo, {source: 'client'});
      surroundings.dynamicServers.remove(pool, server);
    },
  };
}

function backendElsewhere({name}: Pool, threaded: ThreadedGeneration): readonly BackendSnapshot[] {
  return threaded.snapshots().flatMap(({backends}) => backends.filter((one) => one.name === name));
}

function timesOf(
  {changedAtMs, downtimeMs}: Pool['stats'],
  {isDown, nowMs}: {readonly isDown: boolean; readonly nowMs: number},
): Pick<BackendControl, 'lastChangeSeconds' | 'downSeconds'> {
  const sinceMs = nowMs - changedAtMs;
  return {lastChangeSeconds: Math.floor(sinceMs / 1000), downSeconds: Math.floor((downtimeMs + (isDown ? sinceMs : 0)) / 1000)};
}

function serverControl(pool: Pool, server: AssignedServer, surroundings: BackendSurroundings): ServerControl {
  const {config, counted, target, condition, admin} = server;
  const nowMs = pool.clock.monotonicMs();
  const path = `${pool.name}/${server.name}`;
  const inheritsMaintenance = isTrackedInMaintenance(server, surroundings);
  return {
    name: config.name,
    id: server.id,
    address: addressOf(target, surroundings),
    ...namesOf(config.target),
    app: target.kind === 'app' ? target.app : null,
    ordered: admin,
    // One that was added is, without having been disabled there.
    isDisabledInConfiguration: config.disabled && pool.config.servers.includes(config),
    inheritsMaintenance,
    administrative: inheritsMaintenance ? 'maint' : admin !== 'maint' && server.isInMaintenance ? 'resolution' : admin,
    health: !server.isUp ? 'down' : server.isStopping ? 'stopping' : 'up',
    weight: server.weight,
    initialWeight: config.weight,
    backup: config.backup,
    maxconn: server.configuredMaxconn,
    maxqueue: config.maxqueue,
    cookie: pool.cookies.of(server),
    track: config.track,
    throttlePercent: server.warmthPercent,
    usesTls: config.tls !== null,
    stats: sumTraffic(
      serverTraffic(counted, {sessions: server.sessions.size, queued: server.queue.size, nowMs}),
      backendElsewhere(pool, surroundings.threaded).flatMap(({servers}) => servers.filter(({name}) => name === server.name).map(({stats}) => stats)),
    ),
    ...timesOf(counted, {isDown: condition === 'down' || condition === 'maint', nowMs}),
    check: checkFacts(server),
    agent: agentFacts(server),
    agentPlace: server.agent ?? config.check ?? {address: null, port: null},
    isDownByAgent: server.isDownByAgent,
    setAdministrative: (state) => server.setAdmin(state),
    setHealth: (health) => server.setHealth(health),
    enableChecks(enabled) {
      if (config.check === null) refuseChange(`change the checks of server "${path}", which has none,`);
      server.checksEnabled = enabled;
    },
    enableAgent(enabled) {
      if (server.agent === null) refuseChange(`change the agent of server "${path}", which has none,`);
      else server.agent.isEnabled = enabled;
    },
    setAgentHealth: (health) => server.setAgentHealth(health),
    setAgent: (change) => server.agent?.change(change),
    setCheckPlace(change) {
      if (config.check === null) refuseChange(`change the checks of server "${path}", which has none,`);
      else server.checkPlace = {...(server.checkPlace ?? config.check), ...change};
    },
    setWeight: (weight) => server.setWeight(weight),
    setMaxconn: (maxconn) => server.setMaxconn(maxconn === 0 ? null : maxconn),
    setAddress({host, port}) {
      if (target.kind !== 'address') refuseChange(`give server "${path}", which is ${target.kind === 'app' ? 'an app' : 'a unix socket'}, an address`);
      server.setAddress(host, port);
    },
    shutdownSessions() {
      cutAll(server, 'K');
      surroundings.threaded.tell({what: 'shut-server', backend: pool.name, server: server.name});
    },
  };
}

function namesOf(target: Target): Pick<ServerControl, 'hostName' | 'serviceName'> {
  const name = target.kind === 'address' && isIP(target.host) === 0 ? target.host : null;
  return name !== null && isServiceName(name) ? {hostName: null, serviceName: name} : {hostName: name, serviceName: null};
}

function addressOf(target: Target, {appHost}: BackendSurroundings): ServerControl['address'] {
  switch (target.kind) {
    case 'address':
      return {host: target.host, port: target.port};
    case 'unix':
      return null;
    case 'app': {
      const host = appHost(target.app);
      return host === null ? null : {host, port: target.port};
    }
    default:
      return target satisfies never;
  }
}

const pointedTo = 'This server cannot be removed at runtime due to other configuration elements pointing to it.';

/** By a `track`, or a rule of `use-server`. */
function isPointedTo({config}: Pool, name: string, {pools}: BackendSurroundings): boolean {
  if (config.useServers.some(({action: {server}}) => server.kind === 'format' || server.name === name)) return true;
  for (const {servers} of pools.list()) if (servers.some(({config: {track}}) => track === `${config.name}/${name}`)) return true;
  return false;
}

/** Such a server has the maintenance of the one that it tracks. */
function isTrackedInMaintenance({config: {track}}: AssignedServer, {pools}: BackendSurroundings): boolean {
  if (track === null) return false;
  const [backend = '', name = ''] = track.split('/');
  return pools.get(backend)?.server(name)?.isInMaintenance === true;
}

function checkFacts({config: {check, observe}, checkPlace, lastCheck: last, counted, health, checksEnabled}: AssignedServer): CheckFacts | null {
  if (check === null) return null;
  const {address, port} = checkPlace ?? check;
  const facts = {
    enabled: checksEnabled,
    address,
    port,
    failures: counted.failedChecks,
    observedFailures: observe === null ? null : counted.observedFailures,
    timesDown: counted.timesDown,
    rise: check.rise,
    fall: check.fall,
    level: health,
  };
  return {...facts, ...resultFacts(last)};
}

function agentFacts({agent}: AssignedServer): AgentFacts | null {
  if (agent === null) return null;
  const {isEnabled, isDown, last} = agent;
  const facts = resultFacts(last);
  return {isEnabled, isDown, ...facts, durationMs: facts.durationMs ?? 0};
}

function resultFacts(last: CheckResult | null): Pick<CheckFacts, 'status' | 'code' | 'durationMs' | 'detail' | 'description'> {
  if (last === null) return {status: 'INI', code: null, durationMs: null, detail: '', description: 'Initializing'};
  const {status, code, info, durationMs} = last;
  const {description, hasCode} = checkStatuses[status];
  return {status, code: hasCode ? code : null, durationMs: durationMs === null ? null : Math.round(durationMs), detail: info, description};
}
