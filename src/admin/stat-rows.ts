/** One row of `show stat` for each frontend, backend and server. */
import type {FieldValue} from './field.ts';
import type {AgentFacts, AppControl, BackendControl, CheckFacts, FrontendControl, GatewayControl, ListenerControl, ServerControl} from './gateway-control.ts';
import type {TrafficStats} from './traffic-stats.ts';

export type ObjectType = 'Frontend' | 'Backend' | 'Server' | 'Listener';

export interface StatRow {
  readonly objectType: ObjectType;
  readonly proxyId: number;
  /** 0 for what is neither a server nor a listener. */
  readonly id: number;
  /** By column; what is not there is empty. */
  readonly values: Readonly<Record<string, FieldValue>>;
  /** In maintenance, and not up: what `no-maint` and `up` leave out. */
  readonly inMaintenance: boolean;
  readonly isDown: boolean;
}

const noCompression = {comp_in: 0, comp_out: 0, comp_byp: 0, comp_rsp: 0} as const;
const noCache = {cache_lookups: 0, cache_hits: 0} as const;

const objectNumbers = {Frontend: 0, Backend: 1, Server: 2, Listener: 3} as const satisfies Record<ObjectType, number>;

/** A frontend with its listeners behind it, a backend with its servers before it, in the order of the configuration. */
export function* statRows(control: GatewayControl): Generator<StatRow> {
  const apps = new Map([...control.apps()].map((app) => [app.name, app]));
  const backends = new Map([...control.backends()].map((backend) => [backend.name, backend]));
  for (const frontend of control.frontends()) {
    yield frontendRow(frontend);
    for (const listener of frontend.listeners) yield listenerRow(frontend, listener);
    const backend = backends.get(frontend.name);
    // A `listen` section is one of each.
    if (backend?.id !== frontend.id) continue;
    backends.delete(frontend.name);
    yield* backendRows(backend, apps);
  }
  for (const backend of backends.values()) yield* backendRows(backend, apps);
}

function* backendRows(backend: BackendControl, apps: ReadonlyMap<string, AppControl>): Generator<StatRow> {
  const servers = [...backend.servers()];
  for (const server of servers) yield serverRow(backend, server, apps);
  yield backendRow(backend, servers);
}

function identity(objectType: ObjectType, {name, id, mode}: FrontendControl | BackendControl, own: {readonly name: string; readonly id: number}) {
  return {pxname: name, svname: own.name, pid: 1, iid: id, sid: own.id, type: objectNumbers[objectType], mode};
}

function common(stats: TrafficStats, mode: string) {
  const {responses} = stats;
  const ofHttp = {
    hrsp_1xx: responses.informational,
    hrsp_2xx: responses.success,
    hrsp_3xx: responses.redirection,
    hrsp_4xx: responses.clientError,
    hrsp_5xx: responses.serverError,
    hrsp_other: responses.other,
    req_tot: stats.requestsTotal,
  };
  return {
    scur: stats.sessions,
    smax: stats.sessionsMax,
    stot: stats.sessionsTotal,
    bin: stats.bytesIn,
    bout: stats.bytesOut,
    dresp: stats.deniedResponses,
    rate: stats.sessionRate,
    rate_max: stats.sessionRateMax,
    wrew: 0,
    eint: 0,
    ...(mode === 'http' ? ofHttp : {}),
  };
}

function frontendRow(frontend: FrontendControl): StatRow {
  const {stats, mode, state} = frontend;
  return {
    objectType: 'Frontend',
    proxyId: frontend.id,
    id: 0,
    inMaintenance: false,
    isDown: false,
    values: {
      ...identity('Frontend', frontend, {name: 'FRONTEND', id: 0}),
      ...common(stats, mode),
      slim: frontend.maxconn,
      dreq: stats.deniedRequests,
      ereq: stats.requestErrors,
      status: ({open: 'OPEN', full: 'FULL', paused: 'PAUSED', stopped: 'STOP'} as const)[state],
      rate_lim: frontend.sessionRateLimit,
      conn_rate: stats.connectionRate,
      conn_rate_max: stats.connectionRateMax,
      conn_tot: stats.connectionsTotal,
      dcon: stats.deniedConnections,
      dses: stats.deniedSessions,
      req_rate: stats.requestRate,
      req_rate_max: stats.requestRateMax,
      req_tot: stats.requestsTotal,
      ...noCompression,
      ...(mode === 'http' ? {intercepted: stats.intercepted, ...noCache} : {}),
    },
  };
}

function listenerRow(frontend: FrontendControl, listener: ListenerControl): StatRow {
  const {stats, address, maxconn} = listener;
  const isLimited = frontend.state !== 'open';
  return {
    objectType: 'Listener',
    proxyId: frontend.id,
    id: listener.id,
    inMaintenance: false,
    isDown: false,
    values: {
      ...identity('Listener', frontend, listener),
      scur: stats.sessions,
      smax: stats.sessionsMax,
      slim: maxconn,
      stot: stats.sessionsTotal,
      bin: stats.bytesIn,
      bout: stats.bytesOut,
      dreq: stats.deniedRequests,
      dresp: stats.deniedResponses,
      ereq: stats.requestErrors,
      status: maxconn > 0 && stats.sessions >= maxconn ? 'FULL' : isLimited ? 'WAITING' : 'OPEN',
      addr: address === 'unix' ? address : showEndpoint(address),
      dcon: stats.deniedConnections,
      dses: stats.deniedSessions,
      wrew: 0,
      eint: 0,
    },
  };
}

/** What servers and backends have in common. */
function ofServers(stats: TrafficStats) {
  return {
    qcur: stats.queued,
    qmax: stats.queuedMax,
    econ: stats.connectErrors,
    eresp: stats.responseErrors,
    wretr: stats.retries,
    wredis: stats.redispatches,
    lbtot: stats.chosen,
    cli_abrt: stats.clientAborts,
    srv_abrt: stats.serverAborts,
    lastsess: stats.lastSessionSeconds ?? -1,
    qtime: stats.averages.queueMs,
    ctime: stats.averages.connectMs,
    rtime: stats.averages.responseMs,
    ttime: stats.averages.totalMs,
    connect: stats.connects,
    reuse: stats.reuses,
    qtime_max: stats.maxima.queueMs,
    ctime_max: stats.maxima.connectMs,
    rtime_max: stats.maxima.responseMs,
    ttime_max: stats.maxima.totalMs,
  };
}

/** By the operator, or because no address is known for it. */
export function isInMaintenance({administrative}: ServerControl): boolean {
  return administrative === 'maint' || administrative === 'resolution';
}

/** Whether new sessions may be sent to it. */
export function isUsable({administrative, health, weight}: ServerControl): boolean {
  return administrative === 'ready' && health === 'up' && weight > 0;
}

function backendRow(backend: BackendControl, servers: readonly ServerControl[]): StatRow {
  const {stats, mode} = backend;
  const usable = servers.filter(isUsable);
  const active = usable.filter(({backup}) => !backup);
  const sum = (values: readonly {readonly weight: number}[]): number => values.reduce((total, {weight}) => total + weight, 0);
  const counting = active.length > 0 ? active : usable;
  const isDown = servers.length > 0 && usable.length === 0;
  return {
    objectType: 'Backend',
    proxyId: backend.id,
    id: 0,
    inMaintenance: false,
    isDown,
    values: {
      ...identity('Backend', backend, {name: 'BACKEND', id: 0}),
      ...common(stats, mode),
      ...ofServers(stats),
      slim: backend.fullconn ?? 0,
      dreq: stats.deniedRequests,
      status: isDown ? 'DOWN' : 'UP',
      weight: sum(counting),
      uweight: sum(counting),
      act: active.length,
      bck: usable.length - active.length,
      chkdown: backend.timesDown,
      lastchg: backend.lastChangeSeconds,
      downtime: backend.downSeconds,
      cookie: backend.cookie,
      algo: backend.balance,
      agg_server_status: 0,
      agg_server_check_status: 0,
      agg_check_status: 0,
      ...noCompression,
      ...(mode === 'http' ? noCache : {}),
    },
  };
}

/** As HAProxy words it: `UP 1/3` while it goes down, `DOWN 1/2` while it comes up. */
export function serverStatus({administrative, health, check, agent, isDownByAgent, track}: ServerControl): string {
  if (administrative === 'resolution') return 'MAINT (resolution)';
  if (administrative === 'maint') return track === null ? 'MAINT' : `MAINT (via ${track})`;
  if (administrative === 'drain' && health !== 'down') return agent?.isEnabled === true ? 'DRAIN (agent)' : 'DRAIN';
  if (health === 'down' && isDownByAgent) return 'DOWN (agent)';
  if (check === null) return health === 'up' ? (track === null ? 'no check' : 'UP') : health === 'down' ? 'DOWN' : 'NOLB';
  const {level, rise, fall} = check;
  if (health === 'down') return level > 0 ? `DOWN ${level}/${rise}` : 'DOWN';
  const name = health === 'up' ? 'UP' : 'NOLB';
  return level < rise + fall - 1 ? `${name} ${level - rise + 1}/${fall}` : name;
}

function serverRow(backend: BackendControl, server: ServerControl, apps: ReadonlyMap<string, AppControl>): StatRow {
  const {stats, address} = server;
  const app = server.app === null ? undefined : apps.get(server.app);
  return {
    objectType: 'Server',
    proxyId: backend.id,
    id: server.id,
    inMaintenance: isInMaintenance(server),
    isDown: server.health === 'down' || isInMaintenance(server),
    values: {
      ...identity('Server', backend, server),
      ...common(stats, backend.mode),
      ...ofServers(stats),
      slim: server.maxconn,
      status: serverStatus(server),
      weight: server.weight,
      uweight: server.weight,
      act: server.backup ? 0 : 1,
      bck: server.backup ? 1 : 0,
      lastchg: server.lastChangeSeconds,
      downtime: server.check === null ? null : server.downSeconds,
      qlimit: server.maxqueue,
      throttle: server.throttlePercent,
      tracked: server.track,
      addr: address === null ? null : showEndpoint(address),
      cookie: server.cookie,
      srv_icur: 0,
      idle_conn_cur: 0,
      safe_conn_cur: 0,
      used_conn_cur: 0,
      need_conn_est: 0,
      app: server.app,
      app_state: app?.state ?? null,
      app_wakes_last_ms: app?.lastWake?.tookMs ?? null,
      ...(server.check === null ? {} : checkColumns(server.check)),
      ...(server.agent?.isEnabled === true ? agentColumns(server.agent) : {}),
    },
  };
}

function checkColumns(check: CheckFacts) {
  return {
    chkfail: check.failures,
    chkdown: check.timesDown,
    hanafail: check.observedFailures,
    check_status: check.status,
    check_code: check.code,
    check_duration: check.durationMs,
    last_chk: check.detail,
    check_desc: check.description,
    check_rise: check.rise,
    check_fall: check.fall,
    check_health: check.level,
  };
}

/** An agent takes a server down, or up, with one answer. */
function agentColumns(agent: AgentFacts) {
  return {
    agent_status: agent.status,
    agent_code: agent.code,
    agent_duration: agent.durationMs,
    last_agt: agent.detail,
    agent_desc: agent.description,
    agent_rise: 1,
    agent_fall: 1,
    agent_health: agent.isDown ? 0 : 1,
  };
}

export function showEndpoint({host, port}: {readonly host: string; readonly port: number}): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
