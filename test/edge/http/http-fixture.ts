/** An HTTP frontend on a port of loopback, with a backend whose servers are taken in turn. */
import {once} from 'node:events';
import {readFileSync} from 'node:fs';
import {type ConnectionOptions, connect, type TLSSocket} from 'node:tls';
import {bareBackend, bareBind, bareFrontend, bareServer} from '../../../src/config/proxy-defaults.ts';
import type {BackendConfig, Bind, FrontendConfig, ServerConfig} from '../../../src/config/proxy-value.ts';
import {systemClock} from '../../../src/core/clock.ts';
import {CodedError} from '../../../src/core/errors.ts';
import {createLog} from '../../../src/core/log.ts';
import {Admission} from '../../../src/edge/admission.ts';
import {type Counters, newCounters} from '../../../src/edge/counters.ts';
import type {AssignedServer, Assignment, AssignRequest, ServerEndpoint, SessionEnd} from '../../../src/edge/http/assignment.ts';
import {openHttpFrontend} from '../../../src/edge/http/http-frontend.ts';
import {MessageCaptures} from '../../../src/edge/http/message-captures.ts';
import {compileBackend, compileFrontend} from '../../../src/edge/http/proxies.ts';
import {ServerConnections} from '../../../src/edge/http/server-pool.ts';
import type {RequestRecord} from '../../../src/edge/http/session-record.ts';
import {HttpProbes} from '../../../src/edge/probes/http-probes.ts';
import {KnownAnswers} from '../../../src/edge/probes/known-answers.ts';
import type {Surroundings} from '../../../src/edge/samples/context.ts';
import {createProcessVariables} from '../../../src/edge/samples/variables.ts';
import {openEntrance} from '../../../src/edge/session/entrance.ts';
import {noLines} from '../../../src/edge/session/session-lines.ts';
import {SessionLimit} from '../../../src/edge/session-limit.ts';
import {openCertificateStore} from '../../../src/edge/tls/certificate-store.ts';
import {testCompilers} from './evaluator.ts';

export const position = {file: 'test.cfg', line: 1, column: 1};

const surroundings: Surroundings = {
  usableServers: () => 1,
  isServerUp: () => true,
  backendLoad: () => null,
  serverLoad: () => null,
  frontendLoad: () => null,
  authenticate: () => null,
  tableValue: () => null,
  tableSize: () => null,
  trackedValue: () => null,
  tagTracked: () => false,
};

export interface TestHttp extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  readonly records: RequestRecord[];
  readonly outcomes: SessionEnd['outcome'][];
  readonly assigned: AssignRequest[];
  readonly counters: Readonly<Counters>;
  stopAccepting(): void;
}

export interface TestHttpSettings {
  readonly frontend?: Partial<FrontendConfig>;
  readonly bind?: Partial<Bind>;
  readonly backend?: Partial<BackendConfig>;
  /** Ports of loopback, or paths of unix sockets. */
  readonly servers: readonly (number | string)[];
  readonly server?: Partial<ServerConfig>;
  /** In the place of a choice in turn. */
  readonly assign?: Assignment['assign'];
  readonly tls?: ConnectionOptions;
}

export function testServer(name: string, at: number | string, more: Partial<ServerConfig> = {}): ServerConfig {
  const target = typeof at === 'number' ? {kind: 'address' as const, host: '127.0.0.1', port: at} : {kind: 'unix' as const, path: at, abstract: false};
  return {...bareServer({name, target, position}), ...more};
}

export function endpointOf({target, name}: ServerConfig): ServerEndpoint {
  if (target.kind === 'app') throw new Error(`server "${name}" is an app`);
  return target.kind === 'unix' ? {host: '', port: 0, path: target.path} : {host: target.host, port: target.port, path: null};
}

/** A server that is chosen once; `next` is what takes its place after a failure, or null when nothing is tried any more. */
export function assignedServer(
  config: ServerConfig,
  next: (failures: number) => ServerConfig | null,
  released: (end: SessionEnd) => void = () => undefined,
): AssignedServer {
  let server = config;
  let failures = 0;
  return {
    get server() {
      return {config: server, id: 1};
    },
    get endpoint() {
      return endpointOf(server);
    },
    probed: null,
    retry: async (cause) => {
      const other = next(++failures);
      if (other === null) throw new CodedError('ERR_CONNECT', 'Cannot connect', {source: 'server', cause});
      server = other;
    },
    connected: () => undefined,
    response: () => undefined,
    failed: () => undefined,
    ends: () => undefined,
    release: released,
  };
}

function inTurn(backend: BackendConfig, outcomes: SessionEnd['outcome'][], requests: AssignRequest[]): Assignment['assign'] {
  let turn = 0;
  return (_backend, request) => {
    requests.push(request);
    const {servers, retries, redispatch} = backend;
    const server = servers.find(({name}) => request.preferred.includes(name)) ?? servers[turn++ % servers.length];
    if (server === undefined) throw new CodedError('ERR_NO_SERVER', 'Cannot choose a server: there is none', {source: 'server'});
    const next = (failures: number): ServerConfig | null => {
      if (failures > retries) return null;
      return redispatch === null ? server : (servers[turn++ % servers.length] ?? null);
    };
    return assignedServer(server, next, ({outcome}) => void outcomes.push(outcome));
  };
}

async function secured(options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect(options);
  await once(socket, 'secureConnect');
  return socket;
}

export async function openTestHttp(settings: TestHttpSettings): Promise<TestHttp> {
  const records: RequestRecord[] = [];
  const outcomes: SessionEnd['outcome'][] = [];
  const assigned: AssignRequest[] = [];
  const bind = {...bareBind({protocol: 'tcp', host: '127.0.0.1', port: 0, position}), ...settings.bind};
  const config: FrontendConfig = {...bareFrontend({name: 'front', position}), mode: 'http', binds: [bind], defaultBackend: 'back', ...settings.frontend};
  const servers = settings.servers.map((at, index) => testServer(`s${index + 1}`, at, {cookie: `c${index + 1}`, ...settings.server}));
  const backend: BackendConfig = {...bareBackend({name: 'back', position}), mode: 'http', servers, ...settings.backend};
  const compile = {compilers: testCompilers, readFile: (path: string) => readFileSync(path), tableOf: () => null};
  const pool = new ServerConnections({
    clock: systemClock,
    sni: () => null,
    secure: () => (settings.tls === undefined ? null : (socket) => secured({...settings.tls, socket})),
    proxyHeader: () => null,
  });
  const counters = newCounters();
  const frontend = await openHttpFrontend({
    frontend: compileFrontend(config, compile),
    backends: new Map([['back', compileBackend(backend, compile)]]),
    assignment: {
      servers: () => ({
        named: (name) => servers.find((server) => server.name === name) ?? null,
        cookieOf: (server) => server.cookie,
        havingCookie: (value) => servers.filter(({cookie}) => cookie === value),
      }),
      assign: settings.assign ?? inTurn(backend, outcomes, assigned),
    },
    pool,
    probes: new HttpProbes(new KnownAnswers(), null),
    clock: systemClock,
    bufferBytes: 16_384,
    counters,
    captures: new MessageCaptures(),
    admission: new Admission({
      sessionRateLimit: null,
      maxconn: config.maxconn,
      counters,
      limit: new SessionLimit(Number.POSITIVE_INFINITY),
      clock: systemClock,
    }),
    stats: () => null,
    answering: null,
    finished: (record) => void records.push(record),
    listen: async (one, enter) =>
      openEntrance({
        config,
        bind: one,
        connectionRules: [],
        sessionRules: [],
        ipv6Only: false,
        tls: {store: await openCertificateStore([]), ticketKeys: Buffer.alloc(48), maxHandshakes: 1},
        contextParts: {processVariables: createProcessVariables(), surroundings},
        counters,
        clock: systemClock,
        log: createLog('silent'),
        lines: noLines,
        enter,
      }),
  });
  frontend.admission?.start();
  const port = frontend.addresses[0]?.port ?? 0;
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    records,
    outcomes,
    assigned,
    counters: frontend.counters,
    stopAccepting: () => frontend.stopAccepting(),
    async [Symbol.asyncDispose]() {
      frontend.stopAccepting();
      frontend.cut();
      pool.close();
      await frontend.ended();
    },
  };
}
