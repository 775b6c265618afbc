/**
 * What is written down of apps while they run: a gateway that was killed leaves them as they are, and the next one takes them over instead of going
 * back to their checkpoints. The notes lie on the tmpfs of the containers, since what they speak of ends with the host, too.
 */
import {mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {AppConfig} from '../config/value.ts';
import {errorMessage} from '../core/errors.ts';
import type {AppName, FencingToken, Generation, InstanceName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {SavedImage} from './image-settings.ts';

/** An app that runs, or did when its gateway was killed. */
export interface RunningInstance extends SavedImage {
  /** With which it was opened. */
  readonly config: AppConfig;
  readonly name: InstanceName;
  /** Under which it runs: a newer one has been given out where another worker has had the app since. */
  readonly token: FencingToken;
  readonly layers: readonly string[];
  readonly base: Generation | null;
  /** Its gateway has stopped it (SIGSTOP) for the next one. */
  readonly standsStill?: boolean;
  readonly address: string;
  /** The network in which that address is, `10.77.0.0/16`. */
  readonly range: string;
}

/** Below the directory of all containers. No app has such a name. */
export const notesName = '+running';

function notesDirectory(containersDirectory: string): string {
  return join(containersDirectory, notesName);
}

export class RunningInstances {
  readonly #directory: string;
  readonly #log: Log;
  /** Those of the last gateway that have not been taken over yet. */
  readonly #left: Map<AppName, RunningInstance>;

  /** @param left what is to be taken over of what `readRunning()` has found */
  constructor({containersDirectory, left, log}: {readonly containersDirectory: string; readonly left: readonly RunningInstance[]; readonly log: Log}) {
    this.#directory = notesDirectory(containersDirectory);
    this.#left = new Map(left.map((instance) => [instance.config.name, instance]));
    this.#log = log;
    mkdirSync(this.#directory, {recursive: true, mode: 0o700});
  }

  /** The settings of the apps that are to be taken over. */
  leftApps(): AppConfig[] {
    return [...this.#left.values()].map(({config}) => config);
  }

  /** The instance of an app that is to be taken over, once. */
  take(app: AppName): RunningInstance | undefined {
    const instance = this.#left.get(app);
    this.#left.delete(app);
    return instance;
  }

  /** From now on the instance counts more than the checkpoint. Synchronous: before anybody is answered by it. Never throws: without, the checkpoint counts. @returns whether it is written down */
  note(instance: RunningInstance): boolean {
    const path = this.#path(instance.config.name);
    try {
      // An instance that was taken over has a note already, which counts until there is another one.
      writeFileSync(`${path}.new`, JSON.stringify(instance), {mode: 0o600});
      renameSync(`${path}.new`, path);
      return true;
    } catch (error) {
      this.#log.error({app: instance.config.name, error: errorMessage(error)}, 'that the app runs could not be noted for the next gateway');
      return false;
    }
  }

  /** It does not run on as it is: it is about to be checkpointed, or has ended. */
  forget(app: AppName): void {
    rmSync(this.#path(app), {force: true});
  }

  #path(app: AppName): string {
    return join(this.#directory, `${app}.json`);
  }
}

/** What a gateway has noted that was killed. One that cannot be read is none: its writer was killed in the middle of it. */
export function readRunning(containersDirectory: string): RunningInstance[] {
  const directory = notesDirectory(containersDirectory);
  return namesIn(directory).flatMap((name) => {
    const instance = parsed(join(directory, name));
    return instance === undefined || `${instance.config.name}.json` !== name ? [] : [instance];
  });
}

/** Removes the notes on all apps but these. */
export function forgetOthers(containersDirectory: string, kept: ReadonlySet<string>): void {
  const directory = notesDirectory(containersDirectory);
  for (const name of namesIn(directory)) if (!kept.has(name.replace(/\.json$/, ''))) rmSync(join(directory, name), {force: true});
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // No app has run.
  }
}

function parsed(path: string): RunningInstance | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof value === 'object' && value !== null && 'config' in value && 'name' in value && 'layers' in value ? (value as RunningInstance) : undefined;
  } catch {
    return undefined;
  }
}
