/** The running gateway as the runtime API sees it: the present generation of the configuration, and the sessions of all generations. */
import {hostname} from 'node:os';
import type {GatewayControl, ProcessFacts} from '../admin/gateway-control.ts';
import {systemClock} from '../core/clock.ts';
import {type Counters, clearCounters} from '../edge/counters.ts';
import type {Edge} from '../edge/edge.ts';
import type {Gateway} from './gateway.ts';
import {proxyNumbers} from './proxy-numbers.ts';
import {appControl, appsAnywhere} from './runtime-apps.ts';
import {backendControl} from './runtime-backends.ts';
import {certificatesControl} from './runtime-certificates.ts';
import {frontendControl} from './runtime-frontends.ts';
import {patternControls} from './runtime-patterns.ts';
import {sessionControls} from './runtime-sessions.ts';
import {tableControl} from './runtime-tables.ts';
import {unreadMessages} from './runtime-unread.ts';
import {variablesControl} from './runtime-variables.ts';
import {releaseDate, version} from './version.ts';

export interface RuntimeControlOptions {
  readonly gateway: Gateway;
  readonly startedAtMs: number;
  readonly stopping: () => boolean;
  readonly reloads: () => {readonly done: number; readonly failed: number};
  /** Resolves to what was wrong, or null. */
  readonly reload: () => Promise<string | null>;
}

export function runtimeControl(options: RuntimeControlOptions): GatewayControl {
  const {gateway} = options;
  const current = (): Edge => gateway.edge.current;
  return {
    process: () => processFacts(options),
    *frontends() {
      const {config} = gateway;
      const numbers = proxyNumbers(config);
      const open = new Map(current().frontends.map((frontend) => [frontend.name, frontend]));
      const nowMs = systemClock.monotonicMs();
      for (const frontend of config.frontends) {
        yield frontendControl({config: frontend, id: numbers.get(frontend) ?? 0, frontend: open.get(frontend.name) ?? null, nowMs});
      }
    },
    *backends() {
      const numbers = proxyNumbers(gateway.config);
      const {pools, dynamicServers} = current().parts;
      const appHost = (app: string): string | null => gateway.apps?.supervisor.app(app).address ?? null;
      for (const pool of pools.list()) yield backendControl(pool, numbers.get(pool.config) ?? 0, {pools, dynamicServers, appHost});
    },
    sessions: () => sessionControls(gateway.edge.edges(), systemClock.monotonicMs()),
    *apps() {
      const {apps, config} = gateway;
      if (apps !== null) for (const {name} of config.apps) yield appControl(name, apps);
    },
    async appsAnywhere() {
      const {apps, config} = gateway;
      return apps === null ? [] : appsAnywhere(config, apps);
    },
    patterns: (kind) => patternControls(current().parts.lists, kind),
    *tables() {
      const nowMs = systemClock.monotonicMs();
      for (const table of current().parts.tables.list()) yield tableControl(table, nowMs);
    },
    variables: variablesControl(() => current().parts),
    unreadMessages: () => unreadMessages(gateway.config, current().parts),
    ticketKeys: () => current().parts.ticketKeys.values(),
    certificates: certificatesControl(() => current().parts.certificates),
    setMaxconn: (maxconn) => gateway.edge.limit.setMaxconn(maxconn),
    clearCounters(scope) {
      for (const {counters, listeners} of current().frontends) for (const one of [{counters}, ...listeners]) clearCounters(one.counters, scope);
      for (const pool of current().parts.pools.list()) pool.clearCounters(scope);
      gateway.edge.limit.rate.max = 0;
    },
    handOverListeners: () => gateway.edge.handOverListeners(),
    reload: options.reload,
  };
}

function processFacts({gateway, startedAtMs, stopping, reloads}: RuntimeControlOptions): ProcessFacts {
  const {config, edge} = gateway;
  const counters = edge.edges().flatMap(({frontends}) => frontends.map((frontend) => frontend.counters));
  const sum = (value: (counter: Counters) => number): number => counters.reduce((total, counter) => total + value(counter), 0);
  const {node, description} = config.global.process;
  return {
    version,
    releaseDate,
    pid: process.pid,
    startedAtMs,
    maxconn: edge.limit.maxconn,
    hardMaxconn: config.global.maxconn,
    connections: sum((counter) => counter.sessions),
    connectionsTotal: sum((counter) => counter.accepted),
    requestsTotal: sum((counter) => counter.requestsTotal),
    sessionRate: edge.limit.rate.read(systemClock.monotonicMs()),
    sessionRateMax: edge.limit.rate.max,
    tlsConnections: sum((counter) => counter.tlsConnections),
    tlsConnectionsTotal: sum((counter) => counter.tlsConnectionsTotal),
    listeners: edge.current.addresses().length,
    stopping: stopping(),
    bytesOut: sum((counter) => counter.bytesOut),
    nodeName: node ?? hostname(),
    description,
    reloads: reloads().done,
    failedReloads: reloads().failed,
  };
}
