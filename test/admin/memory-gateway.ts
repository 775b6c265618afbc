/** A gateway of plain objects, for what the runtime API says and does. */
import type {
  AppControl,
  BackendControl,
  FrontendControl,
  GatewayControl,
  PatternEntry,
  PatternListControl,
  ServerControl,
  SessionControl,
  TableControl,
  TableEntry,
} from '../../src/admin/gateway-control.ts';
import {noTraffic} from '../../src/admin/traffic-stats.ts';
import {CodedError} from '../../src/core/errors.ts';

type Mutable<T> = {-readonly [K in keyof T]: T[K]};

function refused(message: string): never {
  throw new CodedError('ERR_REFUSED', message, {source: 'client'});
}

export function memoryServer(facts: Partial<ServerControl> & Pick<ServerControl, 'name' | 'id'>): ServerControl {
  const server: Mutable<ServerControl> = {
    address: {host: '127.0.0.1', port: 80},
    hostName: null,
    serviceName: null,
    app: null,
    administrative: 'ready',
    ordered: facts.administrative === 'maint' ? 'maint' : 'ready',
    isDisabledInConfiguration: false,
    inheritsMaintenance: false,
    health: 'up',
    weight: 1,
    initialWeight: facts.weight ?? 1,
    backup: false,
    maxconn: null,
    maxqueue: null,
    cookie: null,
    track: null,
    throttlePercent: null,
    usesTls: false,
    stats: noTraffic,
    lastChangeSeconds: 0,
    downSeconds: 0,
    check: null,
    agent: null,
    agentPlace: {address: null, port: null},
    isDownByAgent: false,
    setAdministrative: (state) => {
      server.administrative = state;
      server.ordered = state;
    },
    setHealth: (health) => {
      server.health = health;
    },
    enableChecks: () => undefined,
    enableAgent: () => undefined,
    setAgentHealth: () => undefined,
    setAgent: () => undefined,
    setCheckPlace: () => undefined,
    setWeight: (weight) => {
      server.weight = weight;
    },
    setMaxconn: (maxconn) => {
      server.maxconn = maxconn;
    },
    setAddress: (address) => {
      server.address = address;
    },
    shutdownSessions: () => undefined,
    ...facts,
  };
  return server;
}

export function memoryBackend(facts: Partial<BackendControl> & Pick<BackendControl, 'name' | 'id'>, servers: ServerControl[]): BackendControl {
  return {
    mode: 'http',
    balance: 'roundrobin',
    cookie: null,
    fullconn: null,
    stats: noTraffic,
    lastChangeSeconds: 0,
    downSeconds: 0,
    timesDown: 0,
    servers: () => servers,
    async addServer(name, address, settings) {
      if (settings[0] === 'foo') refused("unknown keyword 'foo'");
      const [host = '', port = ''] = address.split(':');
      servers.push(memoryServer({name, id: Math.max(0, ...servers.map(({id}) => id)) + 1, address: {host, port: Number(port)}, administrative: 'maint'}));
    },
    setDynamicCookies: () => undefined,
    removeServer(name) {
      servers.splice(
        servers.findIndex((server) => server.name === name),
        1,
      );
    },
    ...facts,
  };
}

export function memoryFrontend(facts: Partial<FrontendControl> & Pick<FrontendControl, 'name' | 'id'>): FrontendControl {
  const frontend: Mutable<FrontendControl> = {
    mode: 'http',
    state: 'open',
    maxconn: 100,
    sessionRateLimit: 0,
    stats: noTraffic,
    listeners: [],
    pause: async () => {
      frontend.state = 'paused';
    },
    resume: async () => {
      frontend.state = 'open';
    },
    shutdown: () => {
      frontend.state = 'stopped';
    },
    setMaxconn: (maxconn) => {
      frontend.maxconn = maxconn;
    },
    ...facts,
  };
  return frontend;
}

export function memoryPatterns(id: number, file: string, initial: readonly (readonly [key: string, value: string | null])[]): PatternListControl {
  let next = 1;
  let entries: PatternEntry[] = initial.map(([key, value]) => ({id: next++, key, value}));
  const matches =
    (wanted: string | number) =>
    ({id: number, key}: PatternEntry): boolean =>
      typeof wanted === 'number' ? number === wanted : key === wanted;
  return {
    id,
    file,
    description: `pattern loaded from file '${file}' used by acl at file 'test.cfg' line 1`,
    get size() {
      return entries.length;
    },
    entries: () => entries,
    find: (sample) => entries.find(({key}) => key === sample) ?? null,
    add(key, value) {
      if (key === 'foo') refused("'foo' is not a valid IPv4 or IPv6 address.");
      entries.push({id: next++, key, value});
    },
    remove(wanted) {
      const before = entries.length;
      entries = entries.filter((entry) => !matches(wanted)(entry));
      return entries.length < before;
    },
    replace(wanted, value) {
      const found = entries.some(matches(wanted));
      entries = entries.map((entry) => (matches(wanted)(entry) ? {...entry, value} : entry));
      return found;
    },
    clear: () => {
      entries = [];
    },
  };
}

export function memoryTable(): TableControl {
  const entries = new Map<string, TableEntry>();
  const stores = ['conn_cnt', 'http_req_rate'];
  return {
    name: 'bk',
    type: 'ip',
    size: 10_240,
    get used() {
      return entries.size;
    },
    stores,
    entries: () => entries.values(),
    get: (key) => entries.get(key) ?? null,
    set(key, data) {
      const values = new Map([
        ['conn_cnt', data.get('conn_cnt') ?? 0],
        ['http_req_rate(10000)', data.get('http_req_rate') ?? 0],
      ]);
      entries.set(key, {key, expiresInMs: 29_994, uses: 0, data: values});
    },
    remove: (key) => entries.delete(key),
  };
}

export interface MemoryGateway extends GatewayControl {
  readonly log: string[];
}

/** Like the HAProxy of the differential test: `fe`, `bk` with three servers, and `tl`. */
export function memoryGateway({apps = [], sessions = []}: {apps?: AppControl[]; sessions?: SessionControl[]} = {}): MemoryGateway {
  const log: string[] = [];
  const frontends = [memoryFrontend({name: 'fe', id: 2}), memoryFrontend({name: 'tl', id: 4, mode: 'tcp'})];
  const servers = [
    memoryServer({name: 's1', id: 1, weight: 10, address: {host: '127.0.0.1', port: 28081}}),
    memoryServer({name: 's2', id: 2, maxconn: 3, address: {host: '127.0.0.1', port: 28082}}),
    memoryServer({name: 'dis', id: 3, administrative: 'maint', isDisabledInConfiguration: true, address: {host: '127.0.0.1', port: 28083}}),
  ];
  const backends = [
    memoryBackend({name: 'bk', id: 3}, servers),
    memoryBackend({name: 'tl', id: 4, mode: 'tcp'}, [memoryServer({name: 't1', id: 1, address: {host: '127.0.0.1', port: 28081}})]),
  ];
  const patterns = {
    acl: [memoryPatterns(0, '/lists/acl', [['9.9.9.9', null]])],
    map: [
      memoryPatterns(1, '/lists/map', [
        ['/a', 'one'],
        ['/b', 'two'],
      ]),
    ],
  };
  const tables = [memoryTable()];
  const staged = new Set<string>();
  let maxconn = 100;
  return {
    log,
    handOverListeners: () => [],
    synchronize: () => Promise.resolve(),
    process: () => ({
      threads: [{connections: 1, connectionsTotal: 2, requestsTotal: 3}],
      version: '2.6.0',
      releaseDate: '2026/11/28',
      pid: 4711,
      startedAtMs: Date.now() - 33_000,
      maxconn,
      hardMaxconn: 100,
      connections: 1,
      connectionsTotal: 2,
      requestsTotal: 3,
      sessionRate: 0,
      sessionRateMax: 0,
      tlsConnections: 0,
      tlsConnectionsTotal: 0,
      listeners: 2,
      stopping: false,
      bytesOut: 0,
      nodeName: 'here',
      description: null,
      reloads: 0,
      failedReloads: 0,
    }),
    frontends: () => frontends,
    backends: () => backends,
    sessions: () => sessions,
    apps: () => apps,
    appsAnywhere: () => Promise.resolve(apps),
    patterns: (kind) => patterns[kind],
    variables: {get: () => null, set: () => refused('there are no variables')},
    tables: () => tables,
    unreadMessages: () => ({count: 0, last: []}),
    ticketKeys: () => [],
    certificates: {
      list: () => [],
      find: () => null,
      staged: () => staged,
      stage: (path) => (path.endsWith('.pem') ? void staged.add(path) : refused("Can't replace a certificate which is not referenced by the configuration!")),
      commit: (path) => void staged.delete(path),
      abort: (path) => void staged.delete(path),
    },
    setMaxconn: (value) => {
      maxconn = value;
    },
    clearCounters: (scope) => void log.push(`clear ${scope}`),
    reload: async () => null,
  };
}
