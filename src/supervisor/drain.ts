/** Everything of a worker goes to the others: what runs is put to sleep, brought to the store and woken elsewhere. */
import {errorMessage} from '../core/errors.ts';
import type {AppName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {Trigger} from '../core/trigger.ts';
import type {App} from './app.ts';

export interface DrainOptions {
  /** The apps of this worker's configuration. */
  readonly apps: () => Iterable<readonly [AppName, App]>;
  /** Resolves when everything of the app is in the store. @throws CodedError ERR_NOT_STORED */
  readonly finishUpload: (name: AppName) => Promise<void>;
  /** Wakes an app, wherever. @throws CodedError */
  readonly reach: (name: AppName, trigger: Trigger) => Promise<unknown>;
  readonly log: Log;
}

export interface Drained {
  /** Woken elsewhere. */
  readonly moved: readonly string[];
  /** Left alone, and why; each can be tried again. */
  readonly failed: readonly {readonly app: string; readonly reason: string}[];
}

const concurrency = 4;

/** To be called when nothing is to be woken on this worker any more. Never throws. */
export async function drainApps(options: DrainOptions): Promise<Drained> {
  const moved: string[] = [];
  const failed: {app: string; reason: string}[] = [];
  const rest = options.apps()[Symbol.iterator]();
  const work = async (): Promise<void> => {
    for (let next = rest.next(); next.done !== true; next = rest.next()) {
      const [name, app] = next.value;
      try {
        if (await moveAway(name, app, options)) moved.push(name);
      } catch (error) {
        failed.push({app: name, reason: errorMessage(error)});
        options.log.error({app: name, error: errorMessage(error)}, 'the app could not be moved away');
      }
    }
  };
  await Promise.all(Array.from({length: concurrency}, work));
  return {moved, failed};
}

/** @returns whether it ran. @throws CodedError */
async function moveAway(name: AppName, app: App, {finishUpload, reach}: DrainOptions): Promise<boolean> {
  const ran = app.isHere;
  if (ran) await app.hibernate({force: true, cause: 'drain'});
  await finishUpload(name);
  if (ran) await reach(name, {kind: 'drain'});
  return ran;
}
