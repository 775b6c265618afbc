/** What all frontends of one generation of the configuration share: compiled rules, backends, tables, certificates. */
import {readFileSync} from 'node:fs';
import type {ProcessConfig} from '../config/process-value.ts';
import type {BackendConfig, FrontendConfig, ServerConfig, Userlist} from '../config/proxy-value.ts';
import type {ResolversConfig} from '../config/resolvers.ts';
import type {Clock} from '../core/clock.ts';
import {assert} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import type {AppAccess, AppWatch} from './app-access.ts';
import {type HealthChecks, startHealthChecks} from './checks/health-checks.ts';
import {MessageCaptures} from './http/message-captures.ts';
import {parseClientHello} from './inspect/client-hello.ts';
import type {ListeningSockets} from './listening-sockets.ts';
import {openBackendLogs} from './logs/backend-logs.ts';
import type {AssignedServer} from './pool/assignment.ts';
import {loadServerStates} from './pool/load-server-states.ts';
import type {Pool} from './pool/pool.ts';
import {openPools, type Pools, type PoolsOptions} from './pool/pools.ts';
import type {NamedServerCopy} from './pool/server-copy.ts';
import {HttpProbes} from './probes/http-probes.ts';
import type {KnownAnswers} from './probes/known-answers.ts';
import {ownProxyHeader} from './proxy-protocol/send-proxy-header.ts';
import {openRefusalLog, type RefusalLog} from './refusal-log.ts';
import {followNames} from './resolvers/follow-names.ts';
import {createSampleCompiler, type SampleCompiler} from './samples/compile.ts';
import type {Surroundings} from './samples/context.ts';
import {createPatternLists, type PatternLists} from './samples/pattern-lists.ts';
import {openProcessVariables} from './samples/process-variables.ts';
import type {EntranceOptions} from './session/entrance.ts';
import {compileRoutes, type RouteOf} from './session/routes.ts';
import {type MannersOf, openServerManners, type ServerMannersBook} from './session/server-connections.ts';
import type {SessionLimit} from './session-limit.ts';
import {openStickTables, type StickTables} from './stick/stick-tables.ts';
import {type CertificateStore, openCertificateStore} from './tls/certificate-store.ts';
import {openTicketKeys, type TicketKeyFiles} from './tls/ticket-keys.ts';
import {authenticator} from './userlists.ts';

export interface EdgePartsOptions {
  readonly frontends: readonly FrontendConfig[];
  readonly backends: readonly BackendConfig[];
  readonly userlists: readonly Userlist[];
  readonly resolvers: readonly ResolversConfig[];
  readonly process: Pick<ProcessConfig, 'logTag' | 'logHostname' | 'variables' | 'bufferBytes'>;
  readonly apps: AppAccess;
  readonly watch: AppWatch | null;
  /** How often sessions may wake apps. */
  readonly wakeRates?: PoolsOptions['wakeRates'];
  readonly sockets?: ListeningSockets | undefined;
  /** 48 bytes that last longer than one generation. */
  readonly ticketKeys: Buffer;
  /** Of all frontends together, of all generations. */
  readonly limit: SessionLimit;
  /** Of health checks from outside; they last longer than one generation. */
  readonly knownAnswers: KnownAnswers;
  /** Of a frontend, for expressions. */
  readonly frontendLoad: Surroundings['frontendLoad'];
  readonly log: Log;
  readonly clock: Clock;
  /** For other threads. */
  readonly onServers?: ServersWatcher | undefined;
  /** Of a thread that is not the first: how its servers begin. Nothing checks them here, and nobody looks their names up. */
  readonly serverCopies?: readonly NamedServerCopy[] | undefined;
  /** That have the same edge, this one included; by default it is alone. */
  readonly threads?: number | undefined;
}

/** What becomes of servers, for those who have the same ones. */
export interface ServersWatcher {
  changed(server: NamedServerCopy): void;
  added(backend: string, config: ServerConfig): void;
  removed(backend: string, server: string): void;
}

/** Servers that come and go while the gateway runs; another configuration does not have them. */
export interface DynamicServers {
  /** @throws CodedError ERR_STATIC_BALANCE, ERR_CA_FILE, ERR_CERTIFICATE, and those of the compiler; then it is not there */
  add(pool: Pool, config: ServerConfig): Promise<void>;
  /** The caller has seen that it is in maintenance and has no sessions. */
  remove(pool: Pool, server: AssignedServer): void;
}

export interface EdgeParts {
  readonly compiler: SampleCompiler;
  readonly lists: PatternLists;
  readonly pools: Pools;
  readonly tables: StickTables;
  readonly routeOf: RouteOf;
  readonly mannersOf: MannersOf;
  readonly dynamicServers: DynamicServers;
  readonly certificates: CertificateStore;
  readonly ticketKeys: TicketKeyFiles;
  /** Requests and answers of mode http that could not be read. */
  readonly captures: MessageCaptures;
  readonly process: EdgePartsOptions['process'];
  /** What each entrance gets, whatever its frontend. */
  readonly entrance: Pick<EntranceOptions, 'sockets' | 'tls' | 'contextParts' | 'acceptsPerTurn' | 'clock' | 'log'>;
  readonly refusals: RefusalLog;
  /** Answers health checks from outside in the place of apps that sleep. */
  readonly probes: HttpProbes;
  readonly watch: AppWatch | null;
  readonly limit: SessionLimit;
  readonly clock: Clock;
  readonly log: Log;
}

/** Handshakes of TLS under way at a time, per listener. */
const maxHandshakes = 1000;
/** The check itself has less, where `timeout check` says so. */
const checkHandshakeMs = 10_000;
/** How much checks are spread over time, in percent of their interval: HAProxy's `spread-checks` is 0 by default, and recommends 2 to 5. */
const spreadPercent = 5;

/** Of several threads that wait at one backlog each one takes a few, so that all of them have something to do. */
const sharedAcceptsPerTurn = 4;

/** The caller disposes it when no session is left. @throws CodedError for certificates that cannot be used, and those of the compiler */
export async function openEdgeParts(options: EdgePartsOptions): Promise<EdgeParts & AsyncDisposable> {
  const {frontends, backends, clock, log, apps, watch} = options;
  await using scope = new AsyncDisposableStack();
  const lists = createPatternLists();
  const compiler = createSampleCompiler({lists, readFile: (path) => readFileSync(path, 'utf8'), parseClientHello});
  const refusals = scope.use(openRefusalLog(log, clock));
  const tables = scope.use(openStickTables({proxies: [...frontends, ...backends], clock}));
  const backendLogs = scope.use(await openBackendLogs(backends, options.process));
  const {serverCopies, onServers} = options;
  const report: PoolsOptions['report'] = (backend, line, level) => {
    if (serverCopies !== undefined) return;
    log.warn({backend}, line);
    backendLogs.write(backend, line, level);
  };
  const onServerChange = (backend: string, {name: server, copy}: AssignedServer): void => onServers?.changed({backend, server, copy});
  const pools = scope.use(openPools({backends, frontends, apps, watch, clock, report, wakeRates: options.wakeRates, threads: options.threads, onServerChange}));
  const certificates = await openCertificateStore(frontends.flatMap(({binds}) => binds.flatMap(({tls}) => (tls?.certificates ?? []).map(({path}) => path))));
  const ticketKeys = openTicketKeys(frontends);
  const manners = await openServerManners(backends, compiler);
  const surroundings: Surroundings = {
    usableServers: pools.usableServers,
    isServerUp: pools.isServerUp,
    backendLoad: pools.backendLoad,
    serverLoad: pools.serverLoad,
    frontendLoad: options.frontendLoad,
    authenticate: authenticator(options.userlists),
    tableValue: tables.tableValue,
    tableSize: tables.tableSize,
    trackedValue: () => null,
    tagTracked: () => false,
  };
  const parts: Omit<EdgeParts, 'dynamicServers'> = {
    compiler,
    lists,
    pools,
    tables,
    routeOf: compileRoutes(backends, {compiler, pools, tables}),
    mannersOf: manners.of,
    certificates,
    ticketKeys,
    captures: new MessageCaptures(),
    process: options.process,
    entrance: {
      sockets: options.sockets,
      tls: {store: certificates, ticketKeys: options.ticketKeys, ticketKeyFiles: ticketKeys, maxHandshakes},
      acceptsPerTurn: (options.threads ?? 1) > 1 ? sharedAcceptsPerTurn : undefined,
      contextParts: {processVariables: openProcessVariables(options.process.variables, {compiler, surroundings}), surroundings},
      clock,
      log,
    },
    refusals,
    probes: new HttpProbes(options.knownAnswers, watch),
    watch,
    limit: options.limit,
    clock,
    log,
  };
  let healthChecks: HealthChecks | null = null;
  if (serverCopies === undefined) {
    const knownPlaces = await loadServerStates(pools.list(), log);
    healthChecks = scope.use(checks(parts, options));
    scope.use(await followNames(pools.list(), {resolvers: options.resolvers, knownPlaces, clock, log}));
  } else for (const {backend, server, copy} of serverCopies) pools.get(backend)?.server(server)?.become(copy);
  const owned = scope.move();
  return {...parts, dynamicServers: dynamicServers(manners, healthChecks, onServers), [Symbol.asyncDispose]: () => owned.disposeAsync()};
}

/** @param healthChecks null: another thread's */
function dynamicServers(manners: ServerMannersBook, healthChecks: HealthChecks | null, watcher: ServersWatcher | undefined): DynamicServers {
  return {
    async add(pool, config) {
      const server = pool.set.add(config);
      try {
        await manners.add(pool.config, server.config);
        healthChecks?.add(pool.config, server);
      } catch (error) {
        pool.set.remove(server);
        throw error;
      }
      watcher?.added(pool.name, config);
    },
    remove(pool, server) {
      healthChecks?.remove(server);
      pool.set.remove(server);
      watcher?.removed(pool.name, server.name);
    },
  };
}

/** Checks of all servers that have them, with what a connection to each of them begins with. */
function checks({pools, mannersOf, compiler, entrance, clock}: Omit<EdgeParts, 'dynamicServers'>, {watch}: EdgePartsOptions): HealthChecks {
  return startHealthChecks({
    backends: [...pools.list()].map(({config, servers}) => ({config, servers})),
    watch,
    services: {
      async secure(socket, server, {sni, alpn, unspoken}) {
        const {checkTls} = mannersOf(server);
        assert(checkTls !== null, `Server "${server.name}" is checked with TLS, which was not prepared`);
        const offered = alpn ?? server.tls?.alpn ?? server.check?.tlsClient?.alpn ?? [];
        return checkTls.secure(socket, {sni, alpn: offered.filter((name) => !unspoken.includes(name)), timeoutMs: checkHandshakeMs});
      },
      proxyHeader: (server, socket) =>
        ownProxyHeader(server.sendProxy ?? 'v1', {
          source: {host: socket.localAddress ?? '0.0.0.0', port: socket.localPort ?? 0},
          destination: {host: socket.remoteAddress ?? '0.0.0.0', port: socket.remotePort ?? 0},
        }),
    },
    samples: {compiler, ...entrance.contextParts},
    clock,
    spreadPercent,
  });
}
