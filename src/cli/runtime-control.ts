/** The running gateway as the runtime API sees it. */
import {hostname} from 'node:os';
import type {AppControl, BackendControl, FrontendControl, GatewayControl, ProcessFacts, ServerControl, SessionControl} from '../admin/gateway-control.ts';
import {noTraffic, type TrafficStats} from '../admin/traffic-stats.ts';
import type {BackendConfig, FrontendConfig, ServerConfig} from '../config/proxy-value.ts';
import {CodedError} from '../core/errors.ts';
import type {Counters} from '../edge/counters.ts';
import type {App} from '../supervisor/app.ts';
import type {Gateway} from './gateway.ts';
import {proxyNumbers} from './proxy-numbers.ts';
import {releaseDate, version} from './version.ts';

export interface RuntimeControlOptions {
  readonly gateway: Gateway;
  readonly startedAtMs: number;
  readonly stopping: () => boolean;
  readonly reloads: () => {readonly done: number; readonly failed: number};
  /** Resolves to what was wrong, or null. */
  readonly reload: () => Promise<string | null>;
}

/** For what no part of the gateway offers yet. */
function refuseChange(what: string): never {
  throw new CodedError('ERR_NOT_POSSIBLE', `Cannot ${what} while the gateway runs: change the configuration and reload`, {source: 'client'});
}

export function runtimeControl(options: RuntimeControlOptions): GatewayControl {
  const {gateway} = options;
  return {
    process: () => processFacts(options),
    *frontends() {
      const numbers = proxyNumbers(gateway.config);
      const counters = gateway.edge.current.counters();
      for (const config of gateway.config.frontends) yield frontendControl(config, numbers.get(config) ?? 0, counters.get(config.name));
    },
    *backends() {
      const numbers = proxyNumbers(gateway.config);
      for (const config of gateway.config.backends) yield backendControl(config, numbers.get(config) ?? 0);
    },
    sessions: () => sessions(gateway),
    *apps() {
      for (const config of gateway.apps === null ? [] : gateway.config.apps) yield appControl(config.name, gateway);
    },
    patterns: () => [],
    tables: () => [],
    certificates: {
      list: () => [],
      staged: () => [],
      stage: () => refuseUnknownCertificate(),
      commit: () => refuseUnknownCertificate(),
      abort: () => refuseUnknownCertificate(),
    },
    setMaxconn: () => refuseChange('change maxconn'),
    clearCounters: () => undefined,
    reload: options.reload,
  };
}

function refuseUnknownCertificate(): never {
  throw new CodedError('ERR_UNKNOWN_CERTIFICATE', "Can't replace a certificate which is not referenced by the configuration!", {source: 'client'});
}

function processFacts({gateway, startedAtMs, stopping, reloads}: RuntimeControlOptions): ProcessFacts {
  const {config, edge} = gateway;
  const counters = edge.edges().flatMap((generation) => [...generation.counters().values()]);
  const sum = (value: (counter: Readonly<Counters>) => number): number => counters.reduce((total, counter) => total + value(counter), 0);
  const {node, description} = config.global.process;
  return {
    version,
    releaseDate,
    pid: process.pid,
    startedAtMs,
    maxconn: config.global.maxconn,
    hardMaxconn: config.global.maxconn,
    connections: sum((counter) => counter.sessions),
    connectionsTotal: sum((counter) => counter.accepted),
    requestsTotal: sum((counter) => counter.accepted),
    sessionRate: 0,
    sessionRateMax: 0,
    tlsConnections: 0,
    tlsConnectionsTotal: 0,
    listeners: edge.current.addresses().length,
    stopping: stopping(),
    bytesOut: sum((counter) => counter.bytesOut),
    nodeName: node ?? hostname(),
    description,
    reloads: reloads().done,
    failedReloads: reloads().failed,
  };
}

function trafficOf(counters: Readonly<Counters> | undefined): TrafficStats {
  if (counters === undefined) return noTraffic;
  return {
    ...noTraffic,
    sessions: counters.sessions,
    sessionsMax: counters.sessions,
    sessionsTotal: counters.accepted,
    connectionsTotal: counters.accepted,
    queued: counters.waiting,
    bytesIn: counters.bytesIn,
    bytesOut: counters.bytesOut,
    deniedSessions: counters.refused,
    connectErrors: counters.connectFailures + counters.wakeFailures,
    clientAborts: counters.abandoned,
  };
}

function frontendControl(config: FrontendConfig, id: number, counters: Readonly<Counters> | undefined): FrontendControl {
  return {
    name: config.name,
    id,
    mode: config.mode,
    state: (counters?.sessions ?? 0) >= config.maxconn ? 'full' : 'open',
    maxconn: config.maxconn,
    sessionRateLimit: config.sessionRateLimit ?? 0,
    stats: trafficOf(counters),
    pause: async () => refuseChange(`disable frontend "${config.name}"`),
    resume: async () => refuseChange(`enable frontend "${config.name}"`),
    shutdown: () => refuseChange(`shut down frontend "${config.name}"`),
    setMaxconn: () => refuseChange(`change maxconn of frontend "${config.name}"`),
  };
}

function backendControl(config: BackendConfig, id: number): BackendControl {
  return {
    name: config.name,
    id,
    mode: config.mode,
    balance: config.balance.kind,
    cookie: config.cookie?.name ?? null,
    stats: noTraffic,
    lastChangeSeconds: 0,
    downSeconds: 0,
    timesDown: 0,
    *servers() {
      for (const [index, server] of config.servers.entries()) yield serverControl(server, index + 1);
    },
    addServer: () => refuseChange('add a server'),
    removeServer: () => refuseChange('remove a server'),
  };
}

function serverControl(config: ServerConfig, id: number): ServerControl {
  const {target} = config;
  return {
    name: config.name,
    id,
    address: target.kind === 'address' ? {host: target.host, port: target.port} : null,
    hostName: null,
    app: target.kind === 'app' ? target.app : null,
    administrative: config.disabled ? 'maint' : 'ready',
    health: 'up',
    weight: config.weight,
    initialWeight: config.weight,
    backup: config.backup,
    maxconn: config.maxconn,
    maxqueue: config.maxqueue,
    cookie: config.cookie,
    track: config.track,
    throttlePercent: null,
    usesTls: config.tls !== null,
    stats: noTraffic,
    lastChangeSeconds: 0,
    downSeconds: 0,
    check: null,
    setAdministrative: () => refuseChange(`change the state of server "${config.name}"`),
    setHealth: () => refuseChange(`change the health of server "${config.name}"`),
    enableChecks: () => refuseChange(`change the checks of server "${config.name}"`),
    setWeight: () => refuseChange(`change the weight of server "${config.name}"`),
    setMaxconn: () => refuseChange(`change maxconn of server "${config.name}"`),
    setAddress: () => refuseChange(`change the address of server "${config.name}"`),
    shutdownSessions: () => refuseChange(`end the sessions of server "${config.name}"`),
  };
}

function* sessions({edge}: Gateway): Generator<SessionControl> {
  let id = 0;
  const nowMs = performance.now();
  for (const generation of edge.edges()) {
    for (const session of generation.sessions()) {
      id++;
      yield {
        id,
        protocol: session.protocol,
        source: session.source,
        frontend: session.frontend,
        backend: null,
        server: null,
        app: session.app,
        ageMs: nowMs - session.startedMs,
        idleMs: nowMs - session.lastActivityMs,
        busy: session.busy,
        shutdown: () => refuseChange('end a single session'),
      };
    }
  }
}

function appControl(name: string, {apps}: Gateway): AppControl {
  const find = (): App | null => apps?.supervisor.app(name) ?? null;
  const status = find()?.status();
  const {lastWake = null, lastHibernate = null, lastError = null} = status ?? {};
  return {
    name,
    state: status?.state ?? 'unknown',
    address: find()?.address ?? null,
    lastWake: lastWake === null ? null : {atMs: lastWake.at, tookMs: lastWake.ms, trigger: lastWake.trigger},
    lastHibernate: lastHibernate === null ? null : {atMs: lastHibernate.at, tookMs: lastHibernate.ms, bytesWritten: lastHibernate.bytesWritten},
    lastError: lastError?.message ?? null,
    async wake() {
      await (await apps?.supervisor.ready(name))?.wake({kind: 'operator'});
    },
    hibernate: async () => (await find()?.hibernate({force: false})) ?? 'cancelled',
  };
}
