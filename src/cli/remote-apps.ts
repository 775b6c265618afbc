/**
 * The apps as an edge sees them that has none of its own: whoever runs them is asked through Redis to wake one and to say where it is, and tells
 * there what becomes of it. Where several workers share the apps, any of them answers for all.
 */
import {hostname} from 'node:os';
import type {DashboardSource} from '../admin/dashboard/dashboard-source.ts';
import type {AppConfig, Config} from '../config/value.ts';
import {type Clock, systemClock} from '../core/clock.ts';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import {type AppName, appName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Trigger} from '../core/trigger.ts';
import type {AppAccess, AppWatch} from '../edge/app-access.ts';
import {unnoticedAddress} from '../nat/names.ts';
import {openBusyClients} from '../store/busy-clients.ts';
import {type Connection, connectRedis} from '../store/connection.ts';
import {callControl} from '../store/control.ts';
import {openEvents} from '../store/events.ts';
import {openState} from '../store/state.ts';
import {openWorkers, type Workers} from '../store/workers.ts';
import {type AppMove, followMoves} from '../supervisor/app-events.ts';
import {BusyMarks} from '../supervisor/busy-marks.ts';
import {BusySession} from '../supervisor/busy-sessions.ts';
import {CheckPlaces} from './check-places.ts';
import {type PrivateEndpoint, parseEndpoint} from './endpoint.ts';
import {HoldTimes} from './hold-times.ts';
import {MovedApps} from './moved-apps.ts';
import {isOwnAddress} from './own-address.ts';
import {redisUrl} from './remote.ts';
import {remoteDashboard} from './remote-dashboard.ts';

export interface RemoteApps extends AsyncDisposable {
  readonly access: AppAccess;
  readonly watch: AppWatch;
  readonly dashboard: DashboardSource;
  readonly connection: Connection;
  readonly holds: HoldTimes;
  /** How long their clients wait is what this configuration says. */
  configure(apps: readonly AppConfig[]): void;
}

/** Events tell when an app has gone to sleep or has moved; this is for those that were missed. */
const endpointAgeMs = 10_000;
/** Whoever does not answer may be gone: the question is put again. */
const answerMs = 1000;
const retryMs = 100;
/** Reasons to ask again: a supervisor that is being restarted, a Redis that fails over. */
const passing: ReadonlySet<string | undefined> = new Set(['ERR_REDIS_UNAVAILABLE', 'ERR_STOPPING', 'ERR_STARTING', 'ERR_NO_GATEWAY', 'ERR_CONTROL_TIMEOUT']);

interface Known extends PrivateEndpoint {
  readonly untilMs: number;
}

/** Packets for an app whose gateway is gone would leave the host, for whoever has that address elsewhere. */
function isReachable({from}: PrivateEndpoint): boolean {
  return from === undefined || isOwnAddress(from);
}

function elsewhere(name: AppName): CodedError {
  const found = 'it runs on another host, whose configuration has no "worker"';
  return new CodedError('ERR_NOT_HERE', `Cannot reach app "${name}": ${found}`, {source: 'client'});
}

/** What is known of where the apps are. */
class Locations {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #known = new Map<AppName, Known>();
  readonly #finding = new Map<AppName, Promise<PrivateEndpoint>>();
  readonly #missed = new Set<AppName>();

  constructor(connection: Connection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /** On this host, if the app was reached there and has not slept since. */
  hostHere(name: AppName): string | null {
    const known = this.#known.get(name);
    return known?.from === undefined || !isReachable(known) ? null : known.host;
  }

  /** It is awake there, as nobody had to wake it for us. */
  found(name: AppName, endpoint: PrivateEndpoint): void {
    this.#known.set(name, {...endpoint, untilMs: this.#clock.monotonicMs() + endpointAgeMs});
  }

  forget(name: AppName): void {
    this.#known.delete(name);
  }

  /** Nobody accepts where it was said to be. */
  missed(name: AppName): void {
    this.#known.delete(name);
    this.#missed.add(name);
  }

  /** Has the app woken. Fifty clients ask once. @throws CodedError as the wake; ERR_WAKE_TIMEOUT */
  async find(name: AppName, trigger: Trigger, timeoutMs: number): Promise<PrivateEndpoint> {
    const known = this.#known.get(name);
    if (known !== undefined && this.#clock.monotonicMs() < known.untilMs && isReachable(known)) return known;
    const underWay = this.#finding.get(name);
    if (underWay !== undefined) return underWay;
    const finding = this.#ask(name, trigger, timeoutMs).finally(() => this.#finding.delete(name));
    this.#finding.set(name, finding);
    return finding;
  }

  async #ask(name: AppName, trigger: Trigger, wakeTimeoutMs: number): Promise<PrivateEndpoint> {
    const deadlineMs = this.#clock.monotonicMs() + wakeTimeoutMs;
    for (;;) {
      try {
        const timeoutMs = Math.max(1, Math.min(answerMs, deadlineMs - this.#clock.monotonicMs()));
        const args = {name, trigger: JSON.stringify(trigger), wasMissed: this.#missed.has(name)};
        const endpoint = parseEndpoint(await callControl(this.#connection, 'reach', args, {timeoutMs}));
        this.#missed.delete(name);
        if (!isReachable(endpoint)) throw elsewhere(name);
        this.found(name, endpoint);
        return endpoint;
      } catch (error) {
        if (!passing.has(errorCode(error))) throw error;
        if (this.#clock.monotonicMs() + retryMs > deadlineMs) {
          const message = `Cannot wake app "${name}" within ${wakeTimeoutMs} ms: ${errorMessage(error)}`;
          throw new CodedError('ERR_WAKE_TIMEOUT', message, {source: 'host', retryable: true, cause: error});
        }
      }
      await new Promise<void>((resolve) => void this.#clock.after(retryMs, resolve));
    }
  }
}

/** At which worker each app runs, of several. */
class Workplaces {
  readonly #workers: Workers;
  readonly #movedApps: MovedApps;
  readonly #last = new Map<AppName, string>();

  constructor(workers: Workers, movedApps: MovedApps) {
    this.#workers = workers;
    this.#movedApps = movedApps;
  }

  /** @throws CodedError */
  async runs(app: AppName, worker: string): Promise<void> {
    const before = this.#last.get(app);
    this.#last.set(app, worker);
    if (before === worker) return;
    const address = (await this.#workers.list()).find(({name}) => name === worker)?.address;
    if (address !== undefined) this.#movedApps.runsAt(app, address);
  }

  /** What was found when this edge began; what was told since is newer. */
  found(app: AppName, worker: string): void {
    if (!this.#last.has(app)) this.#last.set(app, worker);
  }

  of(app: AppName): string | null {
    return this.#last.get(app) ?? null;
  }
}

/** Which apps run, wherever. */
class AwakeElsewhere {
  readonly #states = new Map<string, string>();
  readonly #listeners = new Set<(app: AppName, awake: boolean) => void>();

  has(name: AppName): boolean {
    return this.#states.get(name) === 'running';
  }

  hasFailed(name: AppName): boolean {
    return this.#states.get(name) === 'failed';
  }

  /** What was found when this edge began; what was told since is newer. */
  found(name: AppName, state: string): void {
    if (!this.#states.has(name)) this.moved(name, state);
  }

  moved(name: AppName, state: string): void {
    const before = this.has(name);
    this.#states.set(name, state);
    const now = this.has(name);
    if (before !== now) for (const listener of this.#listeners) listener(name, now);
  }

  listen(listener: (app: AppName, awake: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

interface Watched {
  readonly awake: AwakeElsewhere;
  readonly locations: Locations;
  readonly checkPlaces: CheckPlaces;
  readonly movedApps: MovedApps;
}

function watchOf({awake, locations, checkPlaces, movedApps}: Watched): AppWatch {
  return {
    isAwake: (name) => awake.has(name),
    checkPlace(name, port) {
      if (!awake.has(name)) return null;
      const host = locations.hostHere(name);
      return host === null ? checkPlaces.of(name, port) : {host, port, from: unnoticedAddress};
    },
    isWakeable: (name) => !awake.hasFailed(name),
    // Counted where the app runs, if at all: this edge has nobody who would ask.
    checkAnswered: () => undefined,
    onMoved: (callback) => movedApps.listen(callback),
    onChange: (callback) => awake.listen(callback),
  };
}

function accessOf(locations: Locations, busy: Map<AppName, number>, timeoutMsOf: (name: AppName) => number): AppAccess {
  return {
    async wake(name, trigger) {
      const {host, ports} = await locations.find(name, trigger, timeoutMsOf(name));
      return {host, port: 'port' in trigger ? ports[`${trigger.protocol}/${trigger.port}`] : undefined};
    },
    missed: (name) => locations.missed(name),
    session: (name) => new BusySession((kind) => (kind === 'held' ? () => undefined : counted(busy, name))),
  };
}

/** One more of them, until the returned function is called once. */
function counted(counts: Map<AppName, number>, name: AppName): () => void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
  return () => {
    const left = (counts.get(name) ?? 0) - 1;
    if (left > 0) counts.set(name, left);
    else counts.delete(name);
  };
}

async function findStates(connection: Connection, awake: AwakeElsewhere, workplaces: Workplaces): Promise<void> {
  for (const [name, record] of await openState(connection).listApps()) {
    if (record instanceof Error) continue;
    awake.found(name, record.state);
    if (record.worker !== null) workplaces.found(appName(name), record.worker);
  }
}

/** @throws CodedError ERR_REDIS_UNAVAILABLE */
async function connectTo(config: Config, log: Log): Promise<Connection> {
  try {
    return await connectRedis({url: redisUrl(config), log});
  } catch (error) {
    if (config.global.redis.kind !== 'embedded') throw error;
    const hint = 'it is the private one of a gateway that runs apps, which only root can reach; "redis" in global names one for both';
    throw new CodedError('ERR_REDIS_UNAVAILABLE', `${errorMessage(error)}: ${hint}`, {source: 'client', retryable: true, cause: error});
  }
}

/**
 * Connects to the Redis of whoever runs the apps, which need not run yet.
 * @throws CodedError ERR_REDIS_UNAVAILABLE
 */
export async function openRemoteApps(config: Config, log: Log): Promise<RemoteApps> {
  await using scope = new AsyncDisposableStack();
  const connection = scope.use(await connectTo(config, log));
  const locations = new Locations(connection, systemClock);
  const awake = new AwakeElsewhere();
  const busy = new Map<AppName, number>();
  // No worker has a name with a space.
  const worker = `edge ${hostname()} ${process.pid}`;
  const busyMarks = scope.use(new BusyMarks({clients: openBusyClients(connection), worker, busyApps: () => busy.keys(), clock: systemClock, log}));
  const movedApps = new MovedApps();
  const workplaces = new Workplaces(openWorkers(connection), movedApps);
  const checkPlaces = new CheckPlaces({
    async where(name) {
      const at = workplaces.of(name);
      if (at === null) return null;
      const endpoint = parseEndpoint(await callControl(connection, 'where', {name, isChecked: true}, {worker: at, timeoutMs: answerMs}));
      if (endpoint.from === undefined) return endpoint;
      if (awake.has(name)) locations.found(name, endpoint);
      return null;
    },
    clock: systemClock,
    log,
  });
  const moved = ({app, worker: at, to}: AppMove): void => {
    const moving = appName(app);
    if (to !== 'running') locations.forget(moving);
    checkPlaces.forget(moving);
    if (to === 'draining') busyMarks.finish(moving);
    if (to === 'running' && at !== null)
      workplaces.runs(moving, at).catch((error: unknown) => log.debug({app, error: errorMessage(error)}, 'where it runs is not known'));
    awake.moved(moving, to);
  };
  scope.use(followMoves(openEvents(connection), null, moved, log));
  await findStates(connection, awake, workplaces);
  let timeouts = new Map<string, number>();
  const configure = (apps: readonly AppConfig[]): void => {
    timeouts = new Map(apps.map((app) => [app.name, app.wakeTimeoutMs]));
  };
  configure(config.apps);
  const watch = watchOf({awake, locations, checkPlaces, movedApps});
  const holds = new HoldTimes(systemClock);
  const owned = scope.move();
  return {
    access: holds.measuring(
      accessOf(locations, busy, (app) => timeouts.get(app) ?? answerMs),
      (app) => watch.isAwake(app),
    ),
    dashboard: remoteDashboard(connection),
    watch,
    holds,
    configure,
    connection,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
