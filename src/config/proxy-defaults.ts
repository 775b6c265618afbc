/** A frontend, a backend, a listener and a server of which a configuration says nothing but the name. */
import type {Position} from './position.ts';
import type {BackendConfig, Bind, FrontendConfig, ProxyBase, ServerConfig} from './proxy-value.ts';

interface Named {
  readonly name: string;
  readonly position: Position;
}

export const defaultMaxconn = 10_000;
const hourMs = 3_600_000;

const base: Omit<ProxyBase, 'name' | 'position'> = {
  mode: 'tcp',
  disabled: false,
  description: null,
  tcp: {connection: [], session: [], content: [], response: [], inspectDelayMs: null, responseDelayMs: null},
  http: {request: [], response: [], afterResponse: []},
  httpRequestTimeoutMs: null,
  keepAliveTimeoutMs: null,
  tunnelTimeoutMs: null,
  tarpitTimeoutMs: null,
  connectionMode: 'keep-alive',
  buffersRequests: false,
  restrictedNames: 'preserve',
  forwardFor: null,
  originalTo: null,
  errorFiles: {},
  errorLocations: {},
  errorReplies: {},
  compression: null,
  stats: null,
  stickTable: null,
  probes: null,
  logs: [],
  logTag: null,
};

export function bareFrontend({name, position}: Named): FrontendConfig {
  return {
    name,
    position,
    ...base,
    binds: [],
    useBackends: [],
    defaultBackend: '',
    maxconn: defaultMaxconn,
    clientTimeoutMs: hourMs,
    clientFinTimeoutMs: null,
    monitorUri: null,
    monitorFail: [],
    uniqueId: null,
    captures: [],
    cookieCapture: null,
    logFormat: {kind: 'default'},
    errorLogFormat: null,
    structuredLogFormat: null,
    logAsap: false,
    dontLogNull: false,
    ignoreProbes: false,
    dontLogNormal: false,
    logSeparateErrors: false,
    tcpKeepAlive: false,
    socketStats: false,
    sessionRateLimit: null,
    dns: null,
  };
}

export function bareBackend({name, position}: Named): BackendConfig {
  return {
    name,
    position,
    ...base,
    servers: [],
    balance: {kind: 'roundrobin'},
    hash: {kind: 'map-based', function: 'sdbm', avalanche: false},
    useServers: [],
    connectTimeoutMs: 5000,
    serverTimeoutMs: hourMs,
    serverFinTimeoutMs: null,
    queueTimeoutMs: null,
    checkTimeoutMs: null,
    wakeTimeoutMs: 10_000,
    waitPage: null,
    check: {kind: 'connect'},
    retries: 3,
    redispatch: null,
    retryOn: ['conn-failure'],
    allBackups: false,
    fullconn: null,
    cookie: null,
    stickRules: [],
    dynamicCookieKey: null,
    serverNameHeader: null,
    httpReuse: 'safe',
    abortOnClose: false,
    logHealthChecks: false,
    tcpKeepAlive: false,
    stateFile: null,
    source: null,
  };
}

export function bareBind({protocol, host, port, position}: Pick<Bind, 'protocol' | 'host' | 'port' | 'position'>): Bind {
  return {
    protocol,
    host,
    port,
    unix: null,
    inheritedFd: null,
    name: null,
    acceptProxy: false,
    tls: null,
    proto: null,
    v6only: null,
    transparent: false,
    interface: null,
    maxconn: null,
    backlog: null,
    position,
  };
}

export function bareServer({name, target, position}: Named & Pick<ServerConfig, 'target'>): ServerConfig {
  return {
    name,
    target,
    position,
    maxqueue: target.kind === 'app' ? 1024 : null,
    maxconn: null,
    minconn: null,
    weight: 1,
    backup: false,
    disabled: false,
    cookie: null,
    check: null,
    observe: null,
    agent: null,
    track: null,
    slowStartMs: null,
    onMarkedDown: 'nothing',
    onMarkedUp: 'nothing',
    sendProxy: null,
    proxyV2Options: [],
    tls: null,
    sni: null,
    proto: null,
    source: null,
    resolvers: null,
    initialAddress: 'libc',
    keepsAddress: true,
    resolvePrefer: null,
    redirectPrefix: null,
    nonStick: false,
  };
}
