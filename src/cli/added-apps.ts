/**
 * Apps that are added to a running gateway, and taken away again. They are sections of the configuration, kept in Redis for all gateways and in the
 * state directory of each, and a change of them is a reload with the files as they were read last.
 */
import {randomBytes} from 'node:crypto';
import {setTimeout as sleep} from 'node:timers/promises';
import {addedPath, type Combined, combineSources} from '../config/added-sources.ts';
import {type Diagnostic, renderDiagnostic} from '../config/diagnostic.ts';
import type {SourceFile} from '../config/parse.ts';
import type {Config} from '../config/value.ts';
import {CodedError, errorMessage} from '../core/errors.ts';
import {appName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import {type AddedApp, type AddedSet, openAddedApps} from '../store/added-apps.ts';
import type {Connection} from '../store/connection.ts';
import type {ControlHandler} from '../store/control-message.ts';
import {openEvents} from '../store/events.ts';
import type {Json} from '../store/json.ts';
import {readAddedFile, writeAddedFile} from './added-file.ts';
import {needsAppRuntime} from './app-runtime.ts';
import {givenEnvironment} from './environment.ts';
import type {Gateway} from './gateway.ts';

const followRetryMs = 1000;

export interface AddedAppsOptions {
  readonly log: Log;
  /** What the command line changes in a configuration. */
  readonly prepare: (config: Config) => Config;
  /** Whether the state directory is this process's. */
  readonly remembers: boolean;
}

interface Running {
  readonly gateway: Gateway;
  readonly connection: Connection;
}

export class AddedAppsControl {
  readonly handlers: Readonly<Record<string, ControlHandler>>;
  readonly #options: AddedAppsOptions;
  readonly #stateDir: string;
  /** By which a process knows its own events. */
  readonly #self = randomBytes(8).toString('hex');
  #sources: readonly SourceFile[];
  #set: AddedSet;
  #gateway: Gateway | undefined;
  #running: Running | undefined;
  readonly #following = new AsyncDisposableStack();
  #last: Promise<unknown> = Promise.resolve();

  private constructor(options: AddedAppsOptions, parts: {readonly stateDir: string; readonly sources: readonly SourceFile[]; readonly set: AddedSet}) {
    this.#options = options;
    this.#stateDir = parts.stateDir;
    this.#sources = parts.sources;
    this.#set = parts.set;
    this.handlers = {
      'app add': async (args) => this.#inOrder(() => this.#add(textIn(args, 'name'), textIn(args, 'text'))),
      'app rm': async (args) => this.#inOrder(() => this.#remove(textIn(args, 'name'), saysPurge(args))),
    };
  }

  /** Knows what this host has known. @param sources of a valid configuration */
  static async open(config: Config, sources: readonly SourceFile[], options: AddedAppsOptions): Promise<AddedAppsControl> {
    const {stateDir} = config.global;
    const none: AddedSet = {version: 0, apps: []};
    // What lies in that directory may be another gateway's.
    if (!needsAppRuntime(config)) return new AddedAppsControl(options, {stateDir, sources, set: none});
    const set = await readAddedFile(stateDir).catch((error: unknown) => {
      options.log.error({error: errorMessage(error)}, 'the apps that were added are asked for at Redis');
      return none;
    });
    return new AddedAppsControl(options, {stateDir, sources, set});
  }

  /**
   * The configuration with the apps that were added. @param alone what was read from the files alone, at a reload with the sources of that
   * @returns null when they are not valid
   */
  async combined(alone: Config, sources = this.#sources): Promise<Config | null> {
    // A thousand apps are read once.
    if (this.#set.apps.length === 0) return alone;
    const combined = await this.#combine(this.#set.apps, sources);
    this.#report(combined);
    return combined.config;
  }

  /** The files were read again, and this is what counts now; there may be a Redis since then. Within `alone()`. */
  async reloaded(sources: readonly SourceFile[]): Promise<void> {
    this.#sources = sources;
    await this.#connect();
  }

  /** Runs a change of the configuration that no other one may meet. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#inOrder(work);
  }

  /** From now on what other gateways change is taken over, until what is returned is disposed. Never throws. */
  async begin(gateway: Gateway): Promise<AsyncDisposable> {
    this.#gateway = gateway;
    await this.#inOrder(() => this.#connect());
    return {
      [Symbol.asyncDispose]: async () => {
        await this.#following.disposeAsync();
        await this.#last;
      },
    };
  }

  /** A gateway without apps has no Redis; one that gets them by a reload has. */
  async #connect(): Promise<void> {
    const gateway = this.#gateway;
    const connection = gateway?.connection ?? null;
    if (gateway === undefined || connection === null || this.#running !== undefined) return;
    this.#running = {gateway, connection};
    const ended = new AbortController();
    const following = this.#follow(connection, ended.signal);
    this.#following.defer(() => following);
    this.#following.defer(() => ended.abort());
    this.#following.use(connection.onReconnect(() => void this.#inOrder(() => this.#sync())));
    await this.#sync();
  }

  async #follow(connection: Connection, signal: AbortSignal): Promise<void> {
    const isOver = (): boolean => signal.aborted;
    while (!isOver()) {
      try {
        for await (const {event} of openEvents(connection).follow({signal})) {
          if ((event.kind !== 'app-added' && event.kind !== 'app-removed') || event['by'] === this.#self) continue;
          await this.#inOrder(() => this.#sync());
          if (event.kind === 'app-removed' && event['purged'] === true && event.app !== null) await this.#purge(event.app);
        }
      } catch (error) {
        if (!isOver()) this.#options.log.warn({error: errorMessage(error)}, 'changes of apps by others are not heard of for a moment');
      }
      await sleep(followRetryMs, undefined, {signal}).catch(() => undefined); // It ends then.
    }
  }

  /** Redis knows what others have changed; or it knows less than this host, and is told. Never throws. */
  async #sync(): Promise<void> {
    try {
      const {connection} = this.#expectRunning();
      const store = openAddedApps(connection);
      const known = await store.read();
      if (known.version < this.#set.version) await store.restore(this.#set);
      else if (known.version > this.#set.version) await this.#apply(known);
    } catch (error) {
      this.#options.log.error({error: errorMessage(error)}, 'the apps that were added are not up to date');
    }
  }

  async #apply(set: AddedSet): Promise<void> {
    const before = this.#set;
    const combined = await this.#combine(set.apps);
    this.#report(combined);
    await this.#keep(set);
    const {gateway} = this.#expectRunning();
    if (combined.config !== null) await gateway.configure(this.#options.prepare(combined.config));
    await this.#retire(before.apps.filter(({name}) => set.apps.every((app) => app.name !== name)));
  }

  async #keep(set: AddedSet): Promise<void> {
    this.#set = set;
    if (!this.#options.remembers) return;
    await writeAddedFile(this.#stateDir, set).catch((error: unknown) => {
      this.#options.log.warn({error: errorMessage(error)}, 'the apps that were added are remembered in Redis only');
    });
  }

  async #add(name: string, text: string): Promise<Json> {
    const {gateway, connection} = this.#expectRunning();
    appName(name);
    await this.#sync();
    const app: AddedApp = {name, text, at: Date.now()};
    const others = this.#set.apps;
    const combined = await this.#combine([...others.filter((other) => other.name !== name), app]);
    if (combined.inFiles.has(name)) {
      throw new CodedError('ERR_APP_EXISTS', `Cannot add app "${name}": the configuration file has one of this name`, {source: 'client'});
    }
    const problems = combined.refused.get(name);
    if (problems !== undefined || combined.config === null) throw badSection(name, problems ?? combined.diagnostics);
    const store = openAddedApps(connection);
    if (others.some((other) => other.name === name)) await store.add(app); // Which says that it is there.
    await gateway.configure(this.#options.prepare(combined.config));
    try {
      await this.#keep({version: await store.add(app), apps: [...others, app]});
    } catch (error) {
      await this.#apply(this.#set);
      await this.#retire([app]);
      throw error;
    }
    await this.#tell(connection, 'app-added', name, {});
    const warnings = combined.diagnostics.filter(({position}) => position.file === addedPath(name)).map((diagnostic) => renderDiagnostic(diagnostic));
    return {warnings};
  }

  async #remove(name: string, purge: boolean): Promise<Json> {
    const {connection} = this.#expectRunning();
    await this.#sync();
    const combined = await this.#combine(this.#set.apps);
    const isInFiles = combined.inFiles.has(name);
    if (isInFiles && this.#set.apps.every((app) => app.name !== name)) {
      throw new CodedError('ERR_APP_IN_FILE', `Cannot remove app "${name}": it is in the configuration file; take it out there, and reload`, {
        source: 'client',
      });
    }
    const version = await openAddedApps(connection).remove(name);
    await this.#apply({version, apps: this.#set.apps.filter((app) => app.name !== name)});
    const purged = purge && !isInFiles;
    if (purged) await this.#purge(name);
    await this.#tell(connection, 'app-removed', name, {purged});
    return {purged};
  }

  /** What is removed by name is wanted no more, whoever is still connected to it. */
  async #retire(apps: readonly AddedApp[]): Promise<void> {
    const {gateway} = this.#expectRunning();
    const gone = new Set(apps.map(({name}) => name).filter((name) => gateway.config.apps.every((app) => app.name !== name)));
    if (gone.size > 0) await gateway.retire(gone);
  }

  async #purge(name: string): Promise<void> {
    await this.#expectRunning()
      .gateway.apps?.purge(name)
      .catch((error: unknown) => this.#options.log.error({app: name, error: errorMessage(error)}, 'not all of an app that was removed is gone'));
  }

  async #tell(connection: Connection, kind: string, app: string, more: Readonly<Record<string, Json>>): Promise<void> {
    await openEvents(connection)
      .publish({at: Date.now(), app, kind, by: this.#self, ...more})
      .catch((error: unknown) => this.#options.log.warn({app, error: errorMessage(error)}, 'other gateways hear of the app when they connect again'));
  }

  async #combine(apps: readonly AddedApp[], sources = this.#sources): Promise<Combined> {
    return combineSources(sources, apps, {env: givenEnvironment, missingPath: 'warning'});
  }

  #report({refused}: Combined): void {
    for (const [app, problems] of refused) this.#options.log.error({app, problems: problems.map(({message}) => message)}, 'an app that was added is left out');
  }

  #expectRunning(): Running {
    if (this.#running !== undefined) return this.#running;
    throw new CodedError('ERR_STARTING', 'Cannot change the apps: the gateway is starting', {source: 'host', retryable: true});
  }

  async #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined); // Reported to whoever asked for it.
    return result;
  }
}

function badSection(name: string, problems: readonly Diagnostic[]): CodedError {
  return new CodedError('ERR_BAD_CONFIG', `Cannot add app "${name}":\n${problems.map((problem) => renderDiagnostic(problem)).join('\n')}`, {source: 'client'});
}

function textIn(args: Json, field: 'name' | 'text'): string {
  const value: unknown = typeof args === 'object' && args !== null ? Reflect.get(args, field) : undefined;
  if (typeof value === 'string') return value;
  throw new CodedError('ERR_BAD_COMMAND', `Cannot run the command: it has no ${field}`, {source: 'client'});
}

function saysPurge(args: Json): boolean {
  return typeof args === 'object' && args !== null && Reflect.get(args, 'purge') === true;
}
