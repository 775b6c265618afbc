/**
 * The apps of this worker by name, while the configuration changes: new apps are opened, those that are gone are hibernated, and one with
 * other settings is opened anew when it sleeps - at once, or before its next wake.
 */
import {isDeepStrictEqual} from 'node:util';
import type {AppConfig} from '../config/value.ts';
import {CodedError} from '../core/errors.ts';
import type {App} from './app.ts';

export interface AppSetOptions {
  /** In the order of the settings. Leaves none open when it fails. */
  readonly open: (configs: readonly AppConfig[]) => Promise<readonly App[]>;
  /** Hibernates the app for good, and frees what it has of the host. */
  readonly close: (app: App, name: string) => Promise<void>;
}

interface Entry {
  readonly app: App;
  readonly config: AppConfig;
}

export class AppSet {
  readonly #options: AppSetOptions;
  readonly #entries = new Map<string, Entry>();
  /** Settings of apps that run with older ones. */
  readonly #wanted = new Map<string, AppConfig>();
  /** Apps that are being replaced: everybody waits for the same replacement. */
  readonly #replacing = new Map<string, Promise<void>>();
  /** Apps that are being closed because they are gone. */
  readonly #leaving = new Map<string, Promise<void>>();

  constructor(options: AppSetOptions) {
    this.#options = options;
  }

  /** @throws CodedError ERR_UNKNOWN_APP */
  find(name: string): App {
    const entry = this.#entries.get(name);
    if (entry !== undefined) return entry.app;
    throw new CodedError('ERR_UNKNOWN_APP', `Cannot find app "${name}": the gateway has ${[...this.#entries.keys()].join(', ') || 'none'}`, {source: 'client'});
  }

  /** The app with its newest settings, if it sleeps. @throws CodedError ERR_UNKNOWN_APP, or why it cannot be opened */
  async ready(name: string): Promise<App> {
    const entry = this.#entries.get(name);
    const wanted = this.#wanted.get(name);
    if (wanted !== undefined && (entry === undefined || sleeps(entry.app))) await this.#replace(name, wanted);
    return this.find(name);
  }

  /** Opens a sleeping app anew that would be woken at other times than it is to be now. @throws CodedError */
  async renewTimes(name: string): Promise<void> {
    const wanted = this.#wanted.get(name);
    const current = this.#entries.get(name)?.config;
    if ([wanted, current].some((config) => wanted !== undefined && config !== undefined && hasTimes(config))) await this.ready(name);
  }

  /** Undefined for an app that is gone. */
  get(name: string): App | undefined {
    return this.#entries.get(name)?.app;
  }

  /** Of an app as it is open now. */
  settings(name: string): AppConfig | undefined {
    return this.#entries.get(name)?.config;
  }

  *entries(): Generator<readonly [string, App]> {
    for (const [name, {app}] of this.#entries) yield [name, app];
  }

  *values(): Generator<App> {
    for (const {app} of this.#entries.values()) yield app;
  }

  names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  /** @throws CodedError why a new one cannot be opened; no new one is open then */
  async add(configs: readonly AppConfig[]): Promise<void> {
    // One that comes back is opened when it has left; whoever retires it hears why it cannot.
    await Promise.allSettled(configs.flatMap(({name}) => this.#leaving.get(name) ?? []));
    const added = configs.filter(({name}) => !this.#entries.has(name));
    const opened = await this.#options.open(added);
    for (const [at, app] of opened.entries()) {
      const config = added[at];
      if (config !== undefined) this.#entries.set(config.name, {app, config});
    }
    for (const config of configs) {
      const entry = this.#entries.get(config.name);
      if (entry === undefined) continue;
      if (sameSettings(entry.config, config)) this.#wanted.delete(config.name);
      else this.#wanted.set(config.name, config);
    }
  }

  /** Closes all whose names are not in `configs`. */
  async retire(configs: readonly AppConfig[]): Promise<void> {
    const named = new Set<string>(configs.map(({name}) => name));
    const gone = this.names().filter((name) => !named.has(name));
    await Promise.all(gone.map((name) => this.#remove(name)));
  }

  #remove(name: string): Promise<void> {
    const underWay = this.#leaving.get(name);
    if (underWay !== undefined) return underWay;
    const left = this.#removeNow(name).finally(() => this.#leaving.delete(name));
    this.#leaving.set(name, left);
    return left;
  }

  async #removeNow(name: string): Promise<void> {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    this.#wanted.delete(name);
    await this.#options.close(entry.app, name);
    if (this.#entries.get(name) === entry) this.#entries.delete(name);
  }

  #replace(name: string, config: AppConfig): Promise<void> {
    const underWay = this.#replacing.get(name);
    if (underWay !== undefined) return underWay;
    const replaced = this.#replaceNow(name, config).finally(() => this.#replacing.delete(name));
    this.#replacing.set(name, replaced);
    return replaced;
  }

  async #replaceNow(name: string, config: AppConfig): Promise<void> {
    const entry = this.#entries.get(name);
    if (entry !== undefined) await this.#options.close(entry.app, name);
    this.#entries.delete(name);
    const [app] = await this.#options.open([config]);
    if (app !== undefined) this.#entries.set(name, {app, config});
    if (this.#wanted.get(name) === config) this.#wanted.delete(name);
  }
}

function sleeps(app: App): boolean {
  const {state} = app.status();
  return state === 'hibernated' || state === 'stopped' || state === 'failed';
}

function hasTimes({timers, wakeAt}: AppConfig): boolean {
  return timers !== null || wakeAt.length > 0;
}

/** Wherever they stand in the file. */
function sameSettings(a: AppConfig, b: AppConfig): boolean {
  return isDeepStrictEqual({...a, position: null}, {...b, position: null});
}
