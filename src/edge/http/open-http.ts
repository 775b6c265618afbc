/** Frontends of mode http on the parts that all frontends share: entrances, backends, rules, log lines. */
import {readFileSync} from 'node:fs';
import {compileRegex} from '../../config/expression/regex.ts';
import type {BackendConfig, FrontendConfig} from '../../config/proxy-value.ts';
import {CodedError} from '../../core/errors.ts';
import {Admission} from '../admission.ts';
import {newCounters} from '../counters.ts';
import type {EdgeParts} from '../edge-parts.ts';
import type {Frontend} from '../frontend.ts';
import type {Pool} from '../pool/pool.ts';
import type {Pools} from '../pool/pools.ts';
import {proxyRules} from '../session/connection-rules.ts';
import {openEntrance} from '../session/entrance.ts';
import type {SessionContext} from '../session/session-context.ts';
import {openSessionLines, type SessionLines} from '../session/session-lines.ts';
import type {Assignment} from './assignment.ts';
import {openHttpFrontend} from './http-frontend.ts';
import {httpRecord} from './http-record.ts';
import {compileBackend, compileFrontend, type HttpBackendProxy, type ProxyParts} from './proxies.ts';
import {countRequest} from './request-counters.ts';
import {ServerConnections} from './server-pool.ts';
import type {StatsAnswer} from './stats-answer.ts';
import {Transaction} from './transaction.ts';

/** What frontends of mode http share. Disposing it closes idle connections to servers. */
export interface HttpSide extends Disposable {
  openFrontend(config: FrontendConfig, ipv6Only: (port: number) => boolean): Promise<Frontend>;
}

/** @throws CodedError ERR_BAD_ERROR_FILE, and those of the compiler */
export function openHttpSide(backends: readonly BackendConfig[], parts: EdgeParts, stats: StatsAnswer): HttpSide {
  const {compiler, lists, pools, tables, clock} = parts;
  const proxyParts: ProxyParts = {
    compilers: {
      condition: (condition) => compiler.compileCondition(condition),
      expression: (expression) => compiler.compileExpression(expression),
      format: (format, use) => compiler.compileFormat(format, use),
      regex: compileRegex,
      patternLists: (file) => [...lists.find('map', file), ...lists.find('acl', file)],
    },
    readFile: (path) => readFileSync(path),
    tableOf: (name) => tables.get(name),
  };
  const compiled = new Map<string, HttpBackendProxy>();
  for (const backend of backends) if (backend.mode === 'http') compiled.set(backend.name, compileBackend(backend, proxyParts));
  const connections = openConnections(parts);
  return {
    async openFrontend(config, ipv6Only) {
      const counters = newCounters();
      const lines = await openSessionLines(config, parts);
      const rules = proxyRules(config.name, parts);
      const common = {
        ...parts.entrance,
        config,
        connectionRules: rules(config.tcp.connection, 'connection'),
        sessionRules: rules(config.tcp.session, 'session'),
        counters,
        lines,
      };
      const frontend = await openHttpFrontend({
        frontend: compileFrontend(config, proxyParts),
        backends: compiled,
        counters,
        captures: parts.captures,
        admission: new Admission({maxconn: config.maxconn, sessionRateLimit: config.sessionRateLimit, counters, limit: parts.limit, clock}),
        assignment: assignmentAmong(pools),
        pool: connections,
        probes: parts.probes,
        clock,
        bufferBytes: parts.process.bufferBytes,
        stats,
        answering: config.logAsap ? (record, transaction) => logRequest(lines, transaction, {record, counters, parts}) : null,
        finished: (record, context) => {
          const {listener = null} = context instanceof Transaction ? context.session.facts : context.connection;
          for (const one of listener === null ? [counters] : [counters, listener]) countRequest(one, record, clock.monotonicMs());
          logRequest(lines, context, {record, counters, parts});
          if (context instanceof Transaction) context.endTracking();
        },
        listen: (bind, accept) => openEntrance({...common, bind, ipv6Only: ipv6Only(bind.port), enter: accept}),
      });
      return {
        ...frontend,
        sessions: () => frontend.sessions(),
        async ended() {
          await frontend.ended();
          await lines[Symbol.asyncDispose]();
        },
      };
    },
    [Symbol.dispose]: () => connections.close(),
  };
}

function assignmentAmong(pools: Pools): Assignment {
  const poolOf = (backend: string): Pool => {
    const pool = pools.get(backend);
    if (pool === null) throw new CodedError('ERR_ASSERTION', `There is no backend "${backend}"`, {source: 'bug'});
    return pool;
  };
  return {
    servers(backend) {
      const pool = poolOf(backend);
      return {
        named: (name) => pool.server(name)?.config ?? null,
        cookieOf: (server) => pool.cookies.ofServer(server),
        havingCookie: (value) => pool.cookies.having(value),
      };
    },
    assign(backend, request, signal) {
      const pool = poolOf(backend);
      const stuck = request.stuckTo === null ? undefined : pool.servers.find(({id}) => id === request.stuckTo);
      const assignment = pool.begin(stuck === undefined ? request : {...request, preferred: [...request.preferred, stuck.name]});
      return assignment.isReached ? assignment : pool.reach(assignment, signal()).then(() => assignment);
    },
  };
}

function openConnections({clock, mannersOf}: EdgeParts): ServerConnections {
  return new ServerConnections({
    clock,
    sni: (server, context) => mannersOf(server).sniOf?.(context) ?? null,
    secure(server) {
      const {tls} = mannersOf(server);
      return tls === null ? null : (raw, options) => tls.secure(raw, options);
    },
    proxyHeader: (server, context) => {
      const {connection, uniqueId = null} = context;
      const client = {protocol: 'tcp', source: connection.source, destination: connection.destination, tls: connection.tls, uniqueId} as const;
      return mannersOf(server).header?.(client) ?? null;
    },
  });
}

function logRequest(lines: SessionLines, context: Transaction | SessionContext, facts: Omit<Parameters<typeof httpRecord>[0], 'lineNumber'>): void {
  const transaction = context instanceof Transaction ? context : null;
  if (!lines.isWanted || transaction?.isLogged === true || transaction?.logLevel === 'silent') return;
  const record = httpRecord({...facts, lineNumber: lines.nextNumber});
  if (transaction === null) lines.writeUnread(Object.assign(context, {record}));
  else transaction.isLogged = lines.write(Object.assign(transaction, {record}), levelOf(transaction.logLevel));
}

const levels = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'] as const;

function levelOf(name: string | null): (typeof levels)[number] {
  return levels.find((level) => level === name) ?? 'info';
}
