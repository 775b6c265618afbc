/** A pool on a fake clock, with sessions that are as short as the test wants. */
import {bareBackend, bareServer} from '../../../src/config/proxy-defaults.ts';
import type {BackendConfig, ServerConfig} from '../../../src/config/proxy-value.ts';
import {appName} from '../../../src/core/ids.ts';
import type {AppAccess} from '../../../src/edge/app-access.ts';
import type {CheckStatus} from '../../../src/edge/checks/check-result.ts';
import type {AssignedServer, Assignment, PoolRequest} from '../../../src/edge/pool/assignment.ts';
import {FairQueue} from '../../../src/edge/pool/fair-queue.ts';
import {Pool, type PoolOptions} from '../../../src/edge/pool/pool.ts';
import {Rush} from '../../../src/edge/pool/rush.ts';
import {createWakeLimiter} from '../../../src/edge/pool/wake-limiter.ts';
import {FakeApps} from '../edge-fixture.ts';
import {FakeClock} from './fake-clock.ts';

const position = {file: 'test.cfg', line: 1, column: 1};

export function server(name: string, settings: Partial<ServerConfig> = {}): ServerConfig {
  return {...bareServer({name, target: {kind: 'address', host: '127.0.0.1', port: 80}, position}), ...settings};
}

export function app(name: string, settings: Partial<ServerConfig> = {}): ServerConfig {
  return {...bareServer({name, target: {kind: 'app', app: appName(name), port: 80}, position}), ...settings};
}

export interface TestPool extends Disposable {
  readonly pool: Pool;
  readonly clock: FakeClock;
  /** Lines that were reported. */
  readonly lines: string[];
  open(request?: Partial<PoolRequest>, signal?: AbortSignal): Promise<Assignment>;
  server(name: string): AssignedServer;
}

export interface TestPoolSettings extends Partial<Omit<PoolOptions, 'backend' | 'clock'>> {
  readonly servers: readonly ServerConfig[];
  readonly backend?: Partial<BackendConfig>;
  readonly clock?: FakeClock;
  readonly apps?: AppAccess;
  readonly maxWaiting?: number;
}

export function testPool({servers, backend = {}, clock = new FakeClock(), maxWaiting = 1000, ...options}: TestPoolSettings): TestPool {
  const lines: string[] = [];
  const pool = new Pool({
    backend: {...bareBackend({name: 'web', position}), servers, ...backend},
    apps: new FakeApps(true),
    watch: null,
    clock,
    room: new FairQueue(maxWaiting),
    rush: new Rush(),
    wakeLimiter: createWakeLimiter({perApp: new Map(), perSource: null}, clock),
    defaultFullconn: null,
    report: (line) => void lines.push(line),
    isListen: false,
    ...options,
  });
  return {
    pool,
    clock,
    lines,
    open: (request = {}, signal = new AbortController().signal) => {
      const source = request.source ?? '192.0.2.1';
      const trigger = {kind: 'connection', protocol: 'tcp', source} as const;
      return pool.assign({source, http: null, sample: null, trigger, preferred: [], ...request}, signal);
    },
    server(name) {
      const found = pool.server(name);
      if (found === null) throw new Error(`no server ${name}`);
      return found;
    },
    [Symbol.dispose]: () => pool[Symbol.dispose](),
  };
}

export function end(assignment: Assignment): void {
  assignment.release({outcome: 'done', bytesIn: 10, bytesOut: 20, responseMs: null});
}

export function check(target: AssignedServer, status: CheckStatus, times = 1): void {
  for (let count = 0; count < times; count++) target.applyCheck({status, code: 0, info: '', durationMs: 1});
}

export const schedule = {
  intervalMs: 2000,
  fastIntervalMs: null,
  downIntervalMs: null,
  rise: 2,
  fall: 3,
  address: null,
  port: null,
  tls: false,
  sendProxy: false,
  sni: null,
  alpn: null,
  tlsClient: null,
} as const;
