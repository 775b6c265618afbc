/** What the store has of apps, when a gateway starts: many of them in one question, since a gateway may have ten thousand. */
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import type {AppName, Generation} from '../core/ids.ts';
import {limited} from '../core/limited.ts';
import type {Log} from '../core/log.ts';
import type {CheckpointStore} from './checkpoints/checkpoint-store.ts';
import type {Parts} from './pager-parts.ts';
import type {AppSurvey, SurveyedGeneration} from './protocol.ts';
import {remoteError} from './remote-error.ts';

const surveysAtATime = 16;

/**
 * Removes what interrupted commits left of each, then lists its generations.
 * @throws CodedError ERR_WRONG_KEY; ObjectStoreError when not even that is known which is here
 */
export async function surveyApps(parts: Parts, apps: readonly AppName[], log: Log): Promise<readonly AppSurvey[]> {
  return limited(apps, surveysAtATime, async (app) => surveyApp(parts, app, log));
}

async function surveyApp(parts: Parts, app: AppName, log: Log): Promise<AppSurvey> {
  const {store} = parts;
  const unreachable = await sweep(parts, app, log);
  const generations = await store.generations(app);
  const metas: SurveyedGeneration[] = [];
  for (const generation of generations.toReversed()) {
    const found = await surveyGeneration(store, app, generation);
    metas.push(found);
    // The others would have to be waited for as long.
    if (found.kind === 'unread' && found.error.code === 'ERR_STORE_FAILED') break;
  }
  return {unreachable, generations, metas};
}

/** @returns why the store cannot be reached, or null */
async function sweep({store, tiering}: Parts, app: AppName, log: Log): Promise<string | null> {
  try {
    await prepareKey(store, app, log);
    await store.sweep(app);
    tiering?.tell(app);
    return null;
  } catch (error) {
    if (error instanceof CodedError && error.code === 'ERR_STORE_FAILED' && error.retryable) return error.message;
    throw error;
  }
}

/** So that no app stands still for it later, and a key that cannot be used is found before anything is done. @throws CodedError ERR_WRONG_KEY */
async function prepareKey(store: CheckpointStore, app: AppName, log: Log): Promise<void> {
  try {
    await store.prepareKey(app);
  } catch (error) {
    if (errorCode(error) === 'ERR_WRONG_KEY') throw error;
    log.warn({app, error: errorMessage(error)}, 'the key of the app cannot be had now; its next checkpoint tries again');
  }
}

async function surveyGeneration(store: CheckpointStore, app: AppName, generation: Generation): Promise<SurveyedGeneration> {
  try {
    return {kind: 'read', generation, ...(await store.meta(app, generation))};
  } catch (error) {
    return {kind: 'unread', generation, error: remoteError(error)};
  }
}
