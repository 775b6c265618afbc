/** A running gateway: the edge, and what apps need if there are any; and how it takes over another configuration while it runs. */
import type {Config} from '../config/value.ts';
import {CodedError} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import type {StatsAnswer} from '../edge/http/stats-answer.ts';
import {type AppRuntime, needsAppRuntime, openAppRuntime} from './app-runtime.ts';
import {type AppParts, type EdgeGenerations, openEdgeGenerations} from './edge-generations.ts';

export interface Gateway extends AsyncDisposable {
  readonly config: Config;
  readonly edge: EdgeGenerations;
  /** Null while the configuration has neither apps nor frontends of mode nat. */
  readonly apps: AppRuntime | null;
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
    session: () => ({busy: () => undefined, [Symbol.dispose]: () => undefined}),
  },
  watch: null,
};

function appParts(runtime: AppRuntime | null): AppParts {
  return runtime === null ? withoutApps : {access: runtime.access, watch: runtime.watch};
}

/**
 * Starts everything a configuration asks for; ready when this resolves. Disposing hibernates what runs.
 * @throws CodedError naming what could not be opened; everything else is closed again then
 */
export async function openGateway(config: Config, log: Log, stats: StatsAnswer = () => null): Promise<Gateway> {
  await using scope = new AsyncDisposableStack();
  const apps = needsAppRuntime(config) ? await openAppRuntime(config, log) : null;
  if (apps !== null) scope.use(apps);
  const edge = scope.use(await openEdgeGenerations(config, {...appParts(apps), log, stats}));
  const gateway = new RunningGateway({config, log, apps, edge});
  scope.move();
  apps?.supervisor.startEager();
  return gateway;
}

class RunningGateway implements Gateway {
  readonly edge: EdgeGenerations;
  readonly #log: Log;
  #config: Config;
  #apps: AppRuntime | null;
  #change: Promise<void> = Promise.resolve();

  constructor(parts: {readonly config: Config; readonly log: Log; readonly apps: AppRuntime | null; readonly edge: EdgeGenerations}) {
    this.#config = parts.config;
    this.#log = parts.log;
    this.#apps = parts.apps;
    this.edge = parts.edge;
  }

  get config(): Config {
    return this.#config;
  }

  get apps(): AppRuntime | null {
    return this.#apps;
  }

  /** One after the other: each starts from what the one before it has left. */
  configure(config: Config): Promise<void> {
    const change = this.#change.then(() => this.#configure(config));
    this.#change = change.catch(() => undefined);
    return change;
  }

  async #configure(config: Config): Promise<void> {
    const before = this.#config;
    const apps = await this.#prepareApps(config);
    try {
      await apps?.setFrontends(config);
      await this.edge.replace(config, {
        ...appParts(apps),
        drainMs: hardStopAfterMs(config),
        // Apps that are gone serve the sessions of the old configuration to their end.
        onDrained: () => void this.#apps?.retireApps(this.edge.configs().flatMap((used) => used.apps)),
      });
    } catch (error) {
      await apps?.setFrontends(before);
      await apps?.retireApps(before.apps);
      throw error;
    }
    this.#config = config;
    this.#log.info({apps: config.apps.length, frontends: config.frontends.length}, 'configuration taken over');
  }

  async #prepareApps(config: Config): Promise<AppRuntime | null> {
    if (this.#apps === null) {
      this.#apps = needsAppRuntime(config) ? await openAppRuntime(config, this.#log) : null;
      return this.#apps;
    }
    refuseFixedChanges(this.#config, config);
    await this.#apps.addApps(config.apps);
    return this.#apps;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#change;
    // What apps need goes last, even when the edge does not close well.
    await using scope = new AsyncDisposableStack();
    if (this.#apps !== null) scope.use(this.#apps);
    scope.use(this.edge);
  }
}

/** How long old sessions may last after a reload or a soft stop; null: as long as they want. */
export function hardStopAfterMs(config: Config): number | null {
  return config.global.process.hardStopAfterMs;
}
