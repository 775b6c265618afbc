/** The running gateway as the runtime API sees it: the present generation of the configuration, and the sessions of all generations. */
import {hostname} from 'node:os';
import type {GatewayControl, ProcessFacts} from '../admin/gateway-control.ts';
import {systemClock} from '../core/clock.ts';
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
import {ticketKeysControl} from './runtime-ticket-keys.ts';
import {unreadMessages} from './runtime-unread.ts';
import {variablesControl} from './runtime-variables.ts';
import {clearAll} from './threads/apply-change.ts';
import {type Counted, countedHere, countedThere} from './threads/counted.ts';
import type {Change} from './threads/thread-messages.ts';
import type {ThreadedGeneration} from './threads/threaded-generation.ts';
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
  const others = {
    tell: (change: Change): void => gateway.edge.threaded.tell(change),
    get threaded(): ThreadedGeneration {
      return gateway.edge.threaded;
    },
  };
  return {
    synchronize: ({sessions}) => gateway.edge.threads.look(sessions),
    process: () => processFacts(options),
    *frontends() {
      const {config} = gateway;
      const numbers = proxyNumbers(config);
      const open = new Map(current().frontends.map((frontend) => [frontend.name, frontend]));
      const nowMs = systemClock.monotonicMs();
      for (const frontend of config.frontends) {
        yield frontendControl({config: frontend, id: numbers.get(frontend) ?? 0, frontend: open.get(frontend.name) ?? null, nowMs, threaded: others.threaded});
      }
    },
    *backends() {
      const numbers = proxyNumbers(gateway.config);
      const {pools, dynamicServers} = current().parts;
      const appHost = (app: string): string | null => gateway.apps?.supervisor.app(app).address ?? null;
      for (const pool of pools.list()) yield backendControl(pool, numbers.get(pool.config) ?? 0, {pools, dynamicServers, appHost, threaded: others.threaded});
    },
    sessions: () => sessionControls(gateway.edge.edges(), gateway.edge.threads, systemClock.monotonicMs()),
    *apps() {
      const {apps, config} = gateway;
      if (apps !== null) for (const {name} of config.apps) yield appControl(name, apps);
    },
    async appsAnywhere() {
      const {apps, config} = gateway;
      return apps === null ? [] : appsAnywhere(config, apps);
    },
    patterns: (kind) => patternControls(current().parts.lists, kind, (change) => others.tell({what: 'patterns', change})),
    *tables() {
      const nowMs = systemClock.monotonicMs();
      for (const table of current().parts.tables.list()) yield tableControl(table, nowMs);
    },
    variables: variablesControl(
      () => current().parts,
      (name, value) => others.tell({what: 'variable', name, value}),
    ),
    unreadMessages: () => unreadMessages(gateway.config, current().parts, others.threaded.snapshots()),
    *ticketKeys() {
      for (const keys of current().parts.ticketKeys.values()) yield ticketKeysControl(keys, (key) => others.tell({what: 'ticket-key', path: keys.path, key}));
    },
    certificates: certificatesControl(
      () => current().parts.certificates,
      (path, pem) => others.tell({what: 'certificate', path, pem}),
    ),
    setMaxconn: (maxconn) => gateway.edge.threads.setMaxconn(maxconn),
    clearCounters(scope) {
      clearAll(current(), scope);
      gateway.edge.limit.rate.max = 0;
      others.tell({what: 'clear', scope});
    },
    handOverListeners: () => gateway.edge.handOverListeners(),
    reload: options.reload,
  };
}

function processFacts({gateway, startedAtMs, stopping, reloads}: RuntimeControlOptions): ProcessFacts {
  const {config, edge} = gateway;
  const counted = [countedHere(edge.edges()), ...edge.threads.snapshots().map(countedThere)];
  const sum = (key: keyof Counted): number => counted.reduce((total, thread) => total + thread[key], 0);
  const {node, description} = config.global.process;
  return {
    version,
    releaseDate,
    pid: process.pid,
    threads: counted,
    startedAtMs,
    maxconn: edge.limit.maxconn,
    hardMaxconn: config.global.maxconn,
    connections: sum('connections'),
    connectionsTotal: sum('connectionsTotal'),
    requestsTotal: sum('requestsTotal'),
    sessionRate: edge.threads.snapshots().reduce((rate, thread) => rate + thread.sessionRate, edge.limit.rate.read(systemClock.monotonicMs())),
    sessionRateMax: edge.threads.snapshots().reduce((max, thread) => max + thread.sessionRateMax, edge.limit.rate.max),
    tlsConnections: sum('tlsConnections'),
    tlsConnectionsTotal: sum('tlsConnectionsTotal'),
    listeners: edge.current.addresses().length,
    stopping: stopping(),
    bytesOut: sum('bytesOut'),
    nodeName: node ?? hostname(),
    description,
    reloads: reloads().done,
    failedReloads: reloads().failed,
  };
}
