/** Servers and backends as rows of `show stat`, under HAProxy's names of columns (management guide, 9.1). What is not known is `''`. */
import {checkStatuses} from '../checks/check-result.ts';
import type {AssignedServer} from './assignment.ts';
import type {Pool} from './pool.ts';
import type {ServerStats} from './server-stats.ts';

export type StatRow = Readonly<Record<string, string | number>>;

export function serverRow(pool: Pool, server: AssignedServer): StatRow {
  const nowMs = pool.clock.monotonicMs();
  const {config, stats, lastCheck, condition} = server;
  const isCountedUp = condition === 'up' && server.effectiveWeight > 0;
  return {
    pxname: pool.name,
    svname: server.name,
    qcur: server.queue.size,
    qmax: stats.queueMax,
    scur: server.sessions.size,
    slim: config.maxconn ?? '',
    status: server.status,
    weight: server.weight,
    act: isCountedUp && !config.backup ? 1 : 0,
    bck: isCountedUp && config.backup ? 1 : 0,
    chkfail: config.check === null ? '' : stats.failedChecks,
    qlimit: config.maxqueue ?? '',
    sid: server.id,
    throttle: server.warmthPercent ?? '',
    tracked: config.track ?? '',
    type: 2,
    ...checkColumns(server, lastCheck),
    ...commonColumns(stats, nowMs),
    downtime: Math.floor((stats.downtimeMs + (condition === 'down' || condition === 'maint' ? nowMs - stats.changedAtMs : 0)) / 1000),
    addr: showTarget(server),
    cookie: config.cookie ?? '',
    mode: pool.config.mode,
    uweight: server.weight,
  };
}

export function backendRow(pool: Pool): StatRow {
  const nowMs = pool.clock.monotonicMs();
  const up = pool.servers.filter(({condition}) => condition === 'up');
  const backups = up.filter(({config}) => config.backup).length;
  return {
    pxname: pool.name,
    svname: 'BACKEND',
    qcur: pool.queued + pool.servers.reduce((sum, {queue}) => sum + queue.size, 0),
    qmax: pool.stats.queueMax,
    scur: pool.sessions(),
    slim: pool.fullconn ?? '',
    status: pool.usableServers > 0 || pool.servers.length === 0 ? 'UP' : 'DOWN',
    weight: up.reduce((sum, {weight}) => sum + weight, 0),
    act: up.length - backups,
    bck: backups,
    type: 1,
    ...commonColumns(pool.stats, nowMs),
    mode: pool.config.mode,
    algo: pool.config.balance.kind,
  };
}

function commonColumns(stats: ServerStats, nowMs: number): StatRow {
  const [other, informational, success, redirection, clientError, serverError] = stats.responses;
  return {
    smax: stats.sessionsMax,
    stot: stats.sessionsTotal,
    bin: stats.bytesIn,
    bout: stats.bytesOut,
    econ: stats.connectErrors,
    eresp: stats.responseErrors,
    wretr: stats.retries,
    wredis: stats.redispatches,
    chkdown: stats.timesDown,
    lastchg: Math.floor((nowMs - stats.changedAtMs) / 1000),
    lbtot: stats.balancedTotal,
    rate: stats.sessionRate.read(nowMs),
    rate_max: stats.sessionRate.max,
    hrsp_1xx: informational,
    hrsp_2xx: success,
    hrsp_3xx: redirection,
    hrsp_4xx: clientError,
    hrsp_5xx: serverError,
    hrsp_other: other,
    cli_abrt: stats.clientAborts,
    srv_abrt: stats.serverAborts,
    lastsess: stats.lastSessionMs === null ? -1 : Math.floor((nowMs - stats.lastSessionMs) / 1000),
    qtime: stats.queueMs.value,
    ctime: stats.connectMs.value,
    rtime: stats.responseMs.value,
    ttime: stats.totalMs.value,
    qtime_max: stats.queueMs.max,
    ctime_max: Math.round(stats.connectMs.max),
    rtime_max: Math.round(stats.responseMs.max),
    ttime_max: Math.round(stats.totalMs.max),
    connect: stats.connectAttempts,
    wakes: stats.wakes,
    wake_failures: stats.wakeFailures,
  };
}

function checkColumns({config: {check}, health}: AssignedServer, last: AssignedServer['lastCheck']): StatRow {
  if (check === null) return {};
  const columns = {check_rise: check.rise, check_fall: check.fall, check_health: health};
  if (last === null) return {...columns, check_status: 'INI', check_desc: 'Initializing'};
  const {description, hasCode} = checkStatuses[last.status];
  return {
    ...columns,
    check_status: last.status,
    check_code: hasCode ? last.code : '',
    check_duration: Math.round(last.durationMs),
    check_desc: description,
    last_chk: last.info,
  };
}

function showTarget({target}: AssignedServer): string {
  switch (target.kind) {
    case 'app':
      return `app:${target.app}:${target.port}`;
    case 'unix':
      return `${target.abstract ? 'abns@' : 'unix@'}${target.path}`;
    case 'address':
      return `${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`;
    default:
      return target satisfies never;
  }
}
