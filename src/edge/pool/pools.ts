/** The pools of all backends, and what they share: the room of those that wait, the limits on wakes, servers that follow others. */
import type {BackendConfig, FrontendConfig} from '../../config/proxy-value.ts';
import type {WakeRate} from '../../config/wake-rate.ts';
import type {Clock} from '../../core/clock.ts';
import {assert} from '../../core/errors.ts';
import type {AppName} from '../../core/ids.ts';
import type {AppAccess, AppWatch} from '../app-access.ts';
import type {LogLevel} from '../logs/syslog-header.ts';
import type {Surroundings} from '../samples/context.ts';
import type {AssignedServer} from './assignment.ts';
import {FairQueue} from './fair-queue.ts';
import type {WaitingRoom} from './hold.ts';
import {Pool} from './pool.ts';
import {Rush} from './rush.ts';
import {cutMoved} from './shut-sessions.ts';
import {createWakeLimiter} from './wake-limiter.ts';

export interface PoolsOptions {
  readonly backends: readonly BackendConfig[];
  /** Their `maxconn` decides when a backend counts as full. */
  readonly frontends: readonly FrontendConfig[];
  readonly apps: AppAccess;
  readonly watch?: AppWatch | null;
  readonly clock: Clock;
  /** Gets lines about servers that go up and down, and about their checks. */
  readonly report: (backend: string, line: string, level: LogLevel) => void;
  /** Sessions that may wait at a time, whatever for. */
  readonly maxWaiting?: number;
  /** Told whenever something of a server changes that `copy` tells. */
  readonly onServerChange?: ((backend: string, server: AssignedServer) => void) | undefined;
  /** That have the same servers: each has its share of `maxqueue`. */
  readonly threads?: number | undefined;
  readonly wakeRates?: {readonly perApp: ReadonlyMap<AppName, WakeRate>; readonly perSource: WakeRate | null} | undefined;
}

const defaultMaxWaiting = 65_536;

export interface Pools extends Disposable {
  /** Null: there is no such backend. */
  get(backend: string): Pool | null;
  list(): Iterable<Pool>;
  /** What expressions ask about backends (Surroundings); whoever evaluates them knows which backend `''` is. */
  readonly usableServers: Surroundings['usableServers'];
  readonly isServerUp: Surroundings['isServerUp'];
  readonly backendLoad: Surroundings['backendLoad'];
  readonly serverLoad: Surroundings['serverLoad'];
}

export function openPools(options: PoolsOptions): Pools {
  const {backends, frontends, apps, clock, report} = options;
  const room: WaitingRoom = new FairQueue(options.maxWaiting ?? defaultMaxWaiting);
  const wakeLimiter = createWakeLimiter(options.wakeRates ?? {perApp: new Map(), perSource: null}, clock);
  const rush = new Rush();
  const pools = new Map(
    backends.map((backend) => {
      const pool = new Pool({
        backend,
        apps,
        watch: options.watch ?? null,
        clock,
        room,
        wakeLimiter,
        rush,
        defaultFullconn: defaultFullconn(backend, frontends),
        report: (line, level) => report(backend.name, line, level),
        onChange: (server) => options.onServerChange?.(backend.name, server),
        isListen: frontends.some(({name}) => name === backend.name),
      });
      return [backend.name, pool] as const;
    }),
  );
  for (const {queue, wakers} of [...pools.values()].flatMap(({servers}) => servers)) {
    for (const one of [queue, wakers]) one.bound = Math.ceil(one.bound / (options.threads ?? 1));
  }
  for (const pool of pools.values()) {
    for (const server of pool.servers) if (server.config.track !== null) server.follow(serverAt(pools, server.config.track));
  }
  const unwatch = options.watch?.onMoved((isOver) => {
    for (const {servers} of pools.values()) cutMoved(servers, isOver);
  });
  return {
    get: (backend) => pools.get(backend) ?? null,
    list: () => pools.values(),
    usableServers: (backend) => pools.get(backend)?.usableServers ?? null,
    isServerUp: (backend, server) => {
      const found = pools.get(backend)?.server(server) ?? null;
      return found === null ? null : found.isUp && !found.isInMaintenance;
    },
    backendLoad(backend) {
      const pool = pools.get(backend);
      if (pool === undefined) return null;
      const queued = pool.servers.reduce((sum, {queue}) => sum + queue.size, pool.queued);
      return {sessions: pool.sessions(), queued, sessionRate: pool.counted.sessionRate.read(clock.monotonicMs())};
    },
    serverLoad(backend, server) {
      const found = pools.get(backend)?.server(server) ?? null;
      if (found === null) return null;
      return {sessions: found.sessions.size, queued: found.queue.size, sessionRate: found.counted.sessionRate.read(clock.monotonicMs())};
    },
    [Symbol.dispose]() {
      unwatch?.();
      for (const pool of pools.values()) pool[Symbol.dispose]();
    },
  };
}

/** A tenth of what all frontends that can send sessions here may have (manual, `fullconn`). */
function defaultFullconn({name}: BackendConfig, frontends: readonly FrontendConfig[]): number | null {
  const senders = frontends.filter(
    ({defaultBackend, useBackends}) => defaultBackend === name || useBackends.some(({action: {backend}}) => backend.kind === 'format' || backend.name === name),
  );
  const total = senders.reduce((sum, {maxconn}) => sum + maxconn, 0);
  return total === 0 ? null : Math.ceil(total / 10);
}

function serverAt(pools: ReadonlyMap<string, Pool>, path: string): AssignedServer {
  const [backend = '', server = ''] = path.split('/');
  const found = pools.get(backend)?.server(server) ?? null;
  assert(found !== null, `Server "${path}" that another one tracks does not exist`);
  return found;
}
