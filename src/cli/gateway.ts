/** A running gateway: the edge, and what apps need if there are any; and how it takes over another configuration while it runs. */
import type {DashboardSource} from '../admin/dashboard/dashboard-source.ts';
import type {AppConfig, Config} from '../config/value.ts';
import {CodedError} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import type {StatsAnswer} from '../edge/http/stats-answer.ts';
import type {OldSockets} from '../edge/old-sockets.ts';
import type {Connection} from '../store/connection.ts';
import type {ControlHandler} from '../store/control-message.ts';
import {type AppRuntime, needsAppRuntime, openAppRuntime} from './app-runtime.ts';
import {type AppParts, type EdgeGenerations, openEdgeGenerations} from './edge-generations.ts';
import type {Holds} from './hold-times.ts';
import {withImagePorts} from './image-ports.ts';
import {openRemoteApps, type RemoteApps} from './remote-apps.ts';
import type {Role} from './role.ts';

export interface Gateway extends AsyncDisposable {
  readonly config: Config;
  readonly edge: EdgeGenerations;
  /** Null while the configuration has neither apps nor frontends of mode nat, and where another process runs them. */
  readonly apps: AppRuntime | null;
  /** What is shown of the apps, whoever runs them; null: there are none. */
  readonly dashboard: DashboardSource | null;
  /** To the Redis of the apps; null: there is none. */
  readonly connection: Connection | null;
  /** Of sessions for apps that another process runs; null: there are none. */
  readonly holds: Holds | null;
  /** Hibernates and forgets these apps, which the configuration does not name any more, whoever is connected to them. Never throws. */
  retire(gone: ReadonlySet<string>): Promise<void>;
  /**
   * Takes over another configuration: sessions that began before stay on the old one.
   * @throws CodedError; everything is as it was then
   */
  configure(config: Config): Promise<void>;
}

/** Parts of the configuration that hold for as long as the process runs. */
const fixedSettings = [
  'stateDir',
  'runtimeDir',
  'redis',
  'store',
  'encryptionKeys',
  'privateRange',
  'criu',
] as const satisfies readonly (keyof Config['global'])[];

function refuseFixedChanges(before: Config, after: Config): void {
  for (const name of fixedSettings) {
    if (JSON.stringify(before.global[name]) === JSON.stringify(after.global[name])) continue;
    const keyword = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new CodedError('ERR_FIXED_SETTING', `Cannot change "${keyword}" of a running gateway with apps: stop it and start it again`, {source: 'client'});
  }
}

const withoutApps: AppParts = {
  access: {
    wake: (app) => Promise.reject(new CodedError('ERR_UNKNOWN_APP', `Cannot wake app "${app}": the gateway has none`, {source: 'bug'})),
    missed: () => undefined,
    session: () => ({busy: () => undefined, reached: () => undefined, [Symbol.dispose]: () => undefined}),
  },
  watch: null,
};

/** Who runs the apps: this process, or one that is reached through Redis; neither, if there are none. */
interface AppsOf {
  readonly own: AppRuntime | null;
  readonly remote: RemoteApps | null;
}

function appParts({own, remote}: AppsOf): AppParts {
  const apps = own ?? remote;
  return apps === null ? withoutApps : {access: apps.access, watch: apps.watch};
}

async function openApps(config: Config, {role, log, changes}: GatewayOptions): Promise<AppsOf> {
  if (!needsAppRuntime(config)) return {own: null, remote: null};
  return role === 'edge' ? {own: null, remote: await openRemoteApps(config, log)} : {own: await openAppRuntime(config, log, changes), remote: null};
}

export interface GatewayOptions {
  readonly role: Role;
  readonly log: Log;
  readonly stats?: StatsAnswer;
  /** Commands that change which apps there are. */
  readonly changes?: Readonly<Record<string, ControlHandler>>;
  /** Of the process that this one replaces. */
  readonly oldSockets?: OldSockets | null;
}

/**
 * Starts everything a configuration asks for; ready when this resolves. Disposing hibernates what runs.
 * @throws CodedError naming what could not be opened; everything else is closed again then
 */
export async function openGateway(loaded: Config, options: GatewayOptions): Promise<Gateway> {
  const {log, stats = () => null, oldSockets = null} = options;
  const config = await withImagePorts(loaded, log);
  await using scope = new AsyncDisposableStack();
  const apps = await openApps(config, options);
  scope.use(apps.own);
  scope.use(apps.remote);
  const edge = scope.use(await openEdgeGenerations(config, {...appParts(apps), log, stats, oldSockets}));
  const gateway = new RunningGateway({config, options, apps, edge});
  scope.move();
  apps.own?.supervisor.startEager();
  return gateway;
}

class RunningGateway implements Gateway {
  readonly edge: EdgeGenerations;
  readonly #options: GatewayOptions;
  #config: Config;
  #apps: AppsOf;
  #change: Promise<void> = Promise.resolve();
  /** Being taken over: its apps are there before its edge is. */
  #coming: Config | null = null;

  constructor(parts: {readonly config: Config; readonly options: GatewayOptions; readonly apps: AppsOf; readonly edge: EdgeGenerations}) {
    this.#config = parts.config;
    this.#options = parts.options;
    this.#apps = parts.apps;
    this.edge = parts.edge;
  }

  get config(): Config {
    return this.#config;
  }

  get apps(): AppRuntime | null {
    return this.#apps.own;
  }

  get dashboard(): DashboardSource | null {
    return (this.#apps.own ?? this.#apps.remote)?.dashboard ?? null;
  }

  get holds(): Holds | null {
    return this.#apps.remote?.holds.counted ?? null;
  }

  get connection(): Connection | null {
    return this.#apps.own?.connection ?? this.#apps.remote?.connection ?? null;
  }

  async retire(gone: ReadonlySet<string>): Promise<void> {
    await this.#apps.own?.retireApps(this.#usedApps().filter(({name}) => !gone.has(name)));
  }

  /** Of all generations with sessions, and of the one that is coming. */
  #usedApps(): AppConfig[] {
    return [...this.edge.configs(), ...(this.#coming === null ? [] : [this.#coming])].flatMap(({apps}) => apps);
  }

  /** One after the other: each starts from what the one before it has left. */
  configure(config: Config): Promise<void> {
    const change = this.#change.then(() => this.#configure(config));
    this.#change = change.catch(() => undefined);
    return change;
  }

  async #configure(loaded: Config): Promise<void> {
    const config = await withImagePorts(loaded, this.#options.log);
    this.#coming = config;
    try {
      await this.#replaceWith(config);
    } finally {
      this.#coming = null;
    }
    this.#apps.remote?.configure(config.apps);
    this.#config = config;
    this.#options.log.info({apps: config.apps.length, frontends: config.frontends.length}, 'configuration taken over');
  }

  async #replaceWith(config: Config): Promise<void> {
    const before = this.#config;
    const {own} = await this.#prepareApps(config);
    try {
      await own?.setFrontends(config);
      await this.edge.replace(config, {
        ...appParts(this.#apps),
        drainMs: hardStopAfterMs(config),
        // Apps that are gone serve the sessions of the old configuration to their end.
        onDrained: () => void this.#apps.own?.retireApps(this.#usedApps()),
      });
    } catch (error) {
      await own?.setFrontends(before);
      this.#coming = null;
      await own?.retireApps(this.#usedApps());
      throw error;
    }
  }

  async #prepareApps(config: Config): Promise<AppsOf> {
    const {own, remote} = this.#apps;
    if (own === null && remote === null) {
      this.#apps = await openApps(config, this.#options);
      return this.#apps;
    }
    refuseFixedChanges(this.#config, config);
    await own?.addApps(config.apps);
    return this.#apps;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#change;
    // What apps need goes last, even when the edge does not close well.
    await using scope = new AsyncDisposableStack();
    scope.use(this.#apps.own);
    scope.use(this.#apps.remote);
    scope.use(this.edge);
  }
}

/** How long old sessions may last after a reload or a soft stop; null: as long as they want. */
export function hardStopAfterMs(config: Config): number | null {
  return config.global.process.hardStopAfterMs;
}
