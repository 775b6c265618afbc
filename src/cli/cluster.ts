/**
 * Several workers that share the apps of one Redis and one store. Each app is on one of them at a time: its lease says on which, and a fencing token
 * keeps out whoever had it before.
 */
import {totalmem} from 'node:os';
import type {AppConfig, Config} from '../config/value.ts';
import type {WorkerConfig} from '../config/worker-shape.ts';
import {systemClock} from '../core/clock.ts';
import {CodedError, errorMessage} from '../core/errors.ts';
import {type AppName, appName, gatewayIdentity} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Trigger} from '../core/trigger.ts';
import type {CheckPlace} from '../edge/app-access.ts';
import {rangeText} from '../nat/ipv4.ts';
import {openBusyClients} from '../store/busy-clients.ts';
import type {Connection} from '../store/connection.ts';
import {callControl} from '../store/control.ts';
import type {Events} from '../store/events.ts';
import type {Json} from '../store/json.ts';
import {openLeases} from '../store/lease.ts';
import {openPlacements} from '../store/placements.ts';
import {openState} from '../store/state.ts';
import {openWorkers, type WorkerRecord, type WorkerStatus, type Workers} from '../store/workers.ts';
import type {App} from '../supervisor/app.ts';
import {type AppMove, followMoves} from '../supervisor/app-events.ts';
import {AppLocator, type Endpoint} from '../supervisor/app-locator.ts';
import {BusyMarks} from '../supervisor/busy-marks.ts';
import {type Drained, drainApps} from '../supervisor/drain.ts';
import {type FailoverOptions, takeOver} from '../supervisor/failover.ts';
import {Foresight} from '../supervisor/foresight.ts';
import {Membership} from '../supervisor/membership.ts';
import type {SharedApps} from '../supervisor/recover-shared.ts';
import type {Supervisor} from '../supervisor/supervisor.ts';
import {OrphanedTimers} from '../supervisor/timers/orphaned-timers.ts';
import {CheckPlaces} from './check-places.ts';
import {parseEndpoint} from './endpoint.ts';
import {MovedApps} from './moved-apps.ts';
import {PublishedPorts} from './published-ports.ts';

type AwakeListener = (app: AppName, awake: boolean) => void;

export interface ClusterOptions {
  readonly worker: WorkerConfig;
  readonly config: Config;
  readonly connection: Connection;
  readonly events: Events;
  readonly log: Log;
}

/** What becomes known only when the apps are opened, after this worker has joined the others. */
interface Late {
  configs: ReadonlyMap<string, AppConfig>;
  supervisor: Supervisor | undefined;
}

/** How long the word of a port is waited for, and how long it is believed: the worker may be restarted. */
const whereMs = 2000;
const placeAgeMs = 10_000;

/** The other workers, and the apps that run there. */
export class Cluster implements AsyncDisposable {
  readonly name: string;
  /** Where this worker is reached by the others. */
  readonly address: string;
  readonly published: PublishedPorts;
  readonly shared: SharedApps;
  readonly #options: ClusterOptions;
  readonly #workers: Workers;
  readonly #membership: Membership;
  readonly #late: Late;
  readonly #locator: AppLocator;
  readonly #awakeElsewhere = new Set<AppName>();
  readonly #listeners = new Set<AwakeListener>();
  readonly #movedApps = new MovedApps();
  readonly #busyMarks: BusyMarks;
  readonly #checkPlaces: CheckPlaces;
  #timers: OrphanedTimers | undefined;
  readonly #places = new Map<AppName, {readonly endpoint: Endpoint; readonly worker: string; readonly untilMs: number}>();
  readonly #scope: AsyncDisposableStack;

  private constructor(
    options: ClusterOptions,
    parts: {readonly workers: Workers; readonly membership: Membership; readonly late: Late},
    scope: AsyncDisposableStack,
  ) {
    const {worker, connection} = options;
    this.#options = options;
    this.#workers = parts.workers;
    this.#membership = parts.membership;
    this.#late = parts.late;
    this.#scope = scope;
    this.name = worker.name;
    this.address = worker.address;
    this.published = new PublishedPorts(worker);
    const leases = openLeases(connection);
    const state = openState(connection);
    const placements = openPlacements(connection);
    const busyClients = openBusyClients(connection);
    this.#locator = new AppLocator({
      membership: parts.membership,
      leases,
      readApp: (name) => state.readApp(name),
      placement: (name) => placements.readOne(name),
      app: (name) => this.#supervisor.ready(name),
      settings: (name) => this.#settingsOf(name),
      endpointHere: (name) => this.#published(name),
      wakeThere: async (to, {name, trigger}, {timeoutMs, signal}) => {
        const args = {name, trigger: JSON.stringify(trigger)};
        return parseEndpoint(await callControl(connection, 'wake here', args, {worker: to, timeoutMs, signal}));
      },
      clock: systemClock,
      log: options.log,
    });
    this.shared = {
      isUnfinished: (name) => busyClients.isUnfinished(name),
      isExpected: async (other) => (await parts.membership.list()).some(({name, state: now}) => name === other && now !== 'gone'),
      reach: (name, trigger) => this.#locator.reach(name, trigger),
      mayWakeHere: (name) => this.#locator.mayWakeHere(name),
      admit: () => this.#admit(),
    };
    this.#checkPlaces = new CheckPlaces({where: (name) => this.#checkedElsewhere(name), clock: systemClock, log: options.log});
    this.#busyMarks = scope.use(
      new BusyMarks({clients: busyClients, worker: worker.name, busyApps: () => this.#busyApps(), clock: systemClock, log: options.log}),
    );
  }

  /** @throws CodedError ERR_WORKER_NAME when another gateway has the name of this worker, ERR_OTHER_RANGE when the others have another private range */
  static async join(options: ClusterOptions): Promise<Cluster> {
    const {worker, config, connection, log} = options;
    const workers = openWorkers(connection);
    await agreeOnRange(config, workers);
    const late: Late = {configs: configsByName(config.apps), supervisor: undefined};
    await using scope = new AsyncDisposableStack();
    const membership = scope.use(
      await Membership.join({
        workers,
        record: () => recordOf(worker, late),
        identity: gatewayIdentity(`${config.global.stateDir} ${worker.address}`),
        leaseMs: config.global.leaseMs,
        clock: systemClock,
        log,
      }),
    );
    return new Cluster(options, {workers, membership, late}, scope.move());
  }

  /** The apps are opened: what others do with them is followed from now on, and those of workers that are gone are taken over. */
  begin(supervisor: Supervisor): void {
    const {connection, config, events, log} = this.#options;
    this.#late.supervisor = supervisor;
    const state = openState(connection);
    const failover: FailoverOptions = {
      workers: this.#workers,
      worker: this.name,
      leaseMs: config.global.leaseMs,
      listApps: () => state.listApps(),
      has: (name) => this.#late.configs.has(name),
      reach: (name, trigger) => this.#locator.reach(name, trigger),
      isGone: async (other) => !(await this.shared.isExpected(other)),
      clock: systemClock,
      log,
    };
    this.#timers = this.#scope.use(
      new OrphanedTimers({
        readApp: (name) => state.readApp(name),
        isAlive: async (other) => (await this.#membership.list()).some(({name, state: now}) => name === other && now === 'alive'),
        reach: (name, trigger) => this.#locator.reach(name, trigger),
        clock: systemClock,
        log,
      }),
    );
    for (const {name, timers} of this.#late.configs.values()) if (timers !== null) this.#timers.watch(name);
    this.#scope.use(followMoves(events, this.name, (move) => this.#moved(move), log));
    supervisor.onAwakeChange((app, isAwake) => isAwake && this.#movedApps.runsAt(app, supervisor.app(app).address));
    const foresight = new Foresight({
      worker: this.name,
      listApps: () => state.listApps(),
      listWorkers: () => this.#membership.list(),
      settings: (name) => this.#late.configs.get(name) ?? null,
      app: (name) => supervisor.ready(name),
    });
    this.#membership.onSilent((other, isSilent) => {
      const work = isSilent ? foresight.silent(other) : foresight.heardAgain(other);
      work.catch((error: unknown) => log.debug({worker: other, error: errorMessage(error)}, 'nothing is prepared for the end of a worker'));
    });
    this.#membership.onGone((gone, address) => {
      this.#locator.forget({worker: gone});
      this.#movedApps.gone(address);
      void takeOver(gone, failover);
    });
  }

  /** New apps, and new settings of others; those that are gone still have sessions of the old configuration. */
  add(apps: readonly AppConfig[]): void {
    this.#late.configs = new Map([...this.#late.configs, ...configsByName(apps)]);
  }

  /** Of all apps, also of those that were added. */
  names(): readonly string[] {
    return [...this.#late.configs.keys()];
  }

  /** There are no others any more. */
  retain(apps: readonly AppConfig[]): void {
    const names = new Set<string>(apps.map(({name}) => name));
    this.#late.configs = new Map([...this.#late.configs].filter(([name]) => names.has(name)));
  }

  /** Wakes an app, wherever. @throws CodedError */
  async reach(name: AppName, trigger: Trigger): Promise<Endpoint> {
    return this.#locator.reach(name, trigger);
  }

  /** Another worker that has the app, or had it last; null: none has. @throws CodedError */
  async holderElsewhere(name: AppName): Promise<string | null> {
    const holder = await this.#locator.holder(name);
    return holder === this.name ? null : holder;
  }

  /** Where another worker has the app, or had it last and can wake it; null: none. @throws CodedError */
  async endpointElsewhere(name: AppName): Promise<Endpoint | null> {
    const holder = await this.holderElsewhere(name);
    const worker = (await this.#membership.list()).find((one) => one.name === holder);
    const known = this.#places.get(name);
    this.#places.delete(name);
    if (worker === undefined || worker.isDraining) return null;
    const isKnown = known?.worker === worker.name && systemClock.monotonicMs() < known.untilMs;
    const place = isKnown
      ? known
      : {
          endpoint: parseEndpoint(await this.ask(worker.name, 'where', {name}, whereMs)),
          worker: worker.name,
          untilMs: systemClock.monotonicMs() + placeAgeMs,
        };
    this.#places.set(name, place);
    return place.endpoint;
  }

  async #checkedElsewhere(name: AppName): Promise<Endpoint | null> {
    const holder = await this.holderElsewhere(name);
    return holder === null ? null : parseEndpoint(await this.ask(holder, 'where', {name, isChecked: true}, whereMs));
  }

  /** For another worker. @param options.isChecked it is going to check the app. @throws CodedError ERR_UNKNOWN_APP; ERR_NO_PORT */
  async where(name: AppName, {isChecked}: {readonly isChecked: boolean}): Promise<Endpoint> {
    if (isChecked) await this.published.addChecks(this.#settingsOf(name));
    return this.#published(name);
  }

  /** Has another worker run a command. @throws CodedError as it does; ERR_NO_GATEWAY, ERR_CONTROL_TIMEOUT */
  async ask(worker: string, command: string, args: Json, timeoutMs: number): Promise<Json> {
    return callControl(this.#options.connection, command, args, {worker, timeoutMs});
  }

  /** For another worker: wakes an app here. @throws CodedError */
  async wakeHere(name: AppName, trigger: Trigger): Promise<Endpoint> {
    const app = await this.#supervisor.ready(name);
    await app.wake(trigger);
    return this.#published(name);
  }

  isAwakeElsewhere(name: AppName): boolean {
    return this.#awakeElsewhere.has(name);
  }

  /** See `AppWatch.checkPlace()`, of an app that another worker has. */
  checkPlace(name: AppName, port: number): CheckPlace | null {
    return this.#awakeElsewhere.has(name) ? this.#checkPlaces.of(name, port) : null;
  }

  /** Calls back when an app of another worker has woken up or does not run any more, until the returned function is called. */
  onAwakeElsewhere(listener: AwakeListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** See `AppWatch.onMoved()`. */
  onMoved(listener: (isOver: (app: AppName, host: string) => boolean) => void): () => void {
    return this.#movedApps.listen(listener);
  }

  /** Nobody accepts where the app was said to be. */
  missed(app: AppName): void {
    this.#locator.forget({app});
  }

  /** Moves what this worker has to the others, which must know by now that it is drained. @throws CodedError ERR_REDIS_UNAVAILABLE */
  async drain(finishUpload: (name: AppName) => Promise<void>): Promise<Drained> {
    this.#membership.forgetList();
    await this.#membership.list();
    const {log} = this.#options;
    return drainApps({apps: () => this.#apps(), finishUpload, reach: (name, trigger) => this.#locator.reach(name, trigger), log});
  }

  /** All workers of this Redis. @throws CodedError ERR_REDIS_UNAVAILABLE */
  async workers(): Promise<readonly WorkerStatus[]> {
    return this.#membership.list();
  }

  /** Nothing is woken here any more: this worker stops. Never rejects. */
  async stopping(): Promise<void> {
    await this.#membership.stopping();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope.disposeAsync();
  }

  get #supervisor(): Supervisor {
    const {supervisor} = this.#late;
    if (supervisor === undefined) throw new CodedError('ERR_STARTING', 'Cannot wake an app: this worker is starting', {source: 'host', retryable: true});
    return supervisor;
  }

  #settingsOf(name: string): AppConfig {
    const found = this.#late.configs.get(name);
    if (found === undefined) throw new CodedError('ERR_UNKNOWN_APP', `Cannot find app "${name}": the gateway has none of that name`, {source: 'client'});
    return found;
  }

  #published(name: string): Endpoint {
    return {host: this.#options.worker.address, ports: this.published.of(this.#settingsOf(name))};
  }

  #admit(): void {
    if (!this.#membership.isDraining) return;
    throw new CodedError('ERR_WORKER_DRAINED', `Cannot wake anything on worker "${this.name}": it is being drained`, {source: 'host', retryable: true});
  }

  *#apps(): Generator<readonly [AppName, App]> {
    const supervisor = this.#supervisor;
    for (const name of supervisor.names()) yield [appName(name), supervisor.app(name)];
  }

  *#busyApps(): Generator<AppName> {
    if (this.#late.supervisor === undefined) return;
    for (const [name, app] of this.#apps()) if (app.wakefulness.busySessions.unfinished > 0 && !app.isHere) yield name;
  }

  #moved({app, worker, to}: AppMove): void {
    const name = appName(app);
    if (to === 'running') this.#awakeElsewhere.add(name);
    else this.#awakeElsewhere.delete(name);
    if (to !== 'running') this.#locator.forget({app});
    this.#checkPlaces.forget(name);
    if (to === 'hibernated' && (this.#late.configs.get(app)?.timers ?? null) !== null) this.#timers?.watch(name);
    if (to === 'draining') this.#busyMarks.finish(name);
    const address = worker === null ? undefined : this.#membership.addressOf(worker);
    if (to === 'running' && address !== undefined) this.#movedApps.runsAt(name, address);
    this.#options.log.debug({app, worker, to}, 'another worker has the app');
    if (this.#late.configs.has(app)) this.#supervisor.app(app).sharing.movedAway();
    for (const listener of this.#listeners) listener(name, to === 'running');
  }
}

function configsByName(apps: readonly AppConfig[]): ReadonlyMap<string, AppConfig> {
  return new Map(apps.map((app) => [app.name, app]));
}

function recordOf({name, address, memoryBytes, appsMax, labels}: WorkerConfig, {configs, supervisor}: Late): Omit<WorkerRecord, 'isStopping'> {
  const awake = supervisor === undefined ? [] : [...supervisor.names()].filter((app) => supervisor.app(app).isHere);
  const usedBytes = awake.reduce((sum, app) => sum + (configs.get(app)?.memoryBytes ?? 0), 0);
  return {name, address, memoryBytes: memoryBytes ?? totalmem(), usedBytes, appsMax, awake: awake.length, labels, at: systemClock.nowMs()};
}

async function agreeOnRange({global: {privateRange}}: Config, workers: Workers): Promise<void> {
  if (privateRange === 'auto') return;
  const range = rangeText(privateRange);
  const agreed = await workers.agreeOnRange(range);
  if (agreed === range) return;
  const found = `the workers of this Redis have ${agreed}, and apps keep their addresses when they move; "picogate workers forget" of all of them ends that`;
  throw new CodedError('ERR_OTHER_RANGE', `Cannot use "private-range ${range}": ${found}`, {source: 'client'});
}
