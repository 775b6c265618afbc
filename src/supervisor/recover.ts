/** What is known of an app when a gateway starts: from Redis, and from the generations in the store, which count more. */
import {hostname} from 'node:os';
import type {AppConfig} from '../config/value.ts';
import type {Clock} from '../core/clock.ts';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import {type AppName, fencingToken, type Generation} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {AppFields, AppRecord} from '../store/app-record.ts';
import type {State as Store} from '../store/state.ts';
import type {GenerationMeta, Pager, Rest} from './instance.ts';
import {parseDetails, recordFields} from './records.ts';

/** What the supervisor needs of the store of generations, besides what one instance needs. */
export interface GenerationStore extends Pager {
  /** @throws CodedError for a manifest that is damaged or missing */
  meta(app: string, generation: Generation): Promise<{readonly meta: unknown; readonly token: number}>;
  /** Removes what an interrupted commit left. */
  sweep(app: string): Promise<void>;
}

export interface RecoverOptions {
  readonly store: Store;
  readonly pager: GenerationStore;
  /** See `SupervisorOptions`. */
  readonly indexOf: (address: string) => number | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

function parseMeta(value: unknown): GenerationMeta {
  if (typeof value === 'object' && value !== null && 'layers' in value && 'flows' in value && Array.isArray(value.layers) && Array.isArray(value.flows)) {
    return value as GenerationMeta;
  }
  throw new CodedError('ERR_DAMAGED_CHECKPOINT', 'Cannot read the layers and connections of a generation', {source: 'host'});
}

/** @throws CodedError ERR_DAMAGED_CHECKPOINT and others of the store */
export async function readMeta(options: RecoverOptions, name: AppName, generation: Generation): Promise<{meta: GenerationMeta; token: number}> {
  const {meta, token} = await options.pager.meta(name, generation);
  return {meta: parseMeta(meta), token};
}

/**
 * Makes the newest generation of the store the app's own, where Redis does not know of it: it was emptied, or has lost its
 * last second, or the gateway was killed at that moment. The app has not run since the generation was made.
 */
async function adopt(options: RecoverOptions, record: AppRecord, generation: Generation): Promise<AppRecord> {
  let token: number;
  try {
    ({token} = await readMeta(options, record.name, generation));
  } catch (error) {
    if (errorCode(error) !== 'ERR_DAMAGED_CHECKPOINT') throw error;
    options.log.error({app: record.name, generation, error: errorMessage(error)}, 'a checkpoint that Redis does not know cannot be read; it is kept');
    return record;
  }
  const details = {startsFromFiles: false, layers: []};
  const adopted: AppRecord = {...record, generation, state: 'hibernated', residency: 'warm', worker: null, details};
  await options.store.restoreApp(adopted, fencingToken(token));
  options.log.warn({app: record.name, generation, recorded: record.generation}, 'the newest checkpoint was not recorded in Redis; now it is');
  return adopted;
}

/**
 * A copy of the generation at which Redis points was being made when the gateway was killed. The app may have run since, and ended by itself: what
 * it left must not be put aside for a copy of what was before.
 */
async function generationsThatCount({pager, log}: RecoverOptions, app: AppName, pointer: Generation | null): Promise<readonly Generation[]> {
  const generations = await pager.generations(app);
  if (pointer === null || pointer === generations.at(-1) || !generations.includes(pointer)) return generations;
  try {
    await pager.discardCopies(app, pointer);
  } catch (error) {
    if (errorCode(error) !== 'ERR_DAMAGED_CHECKPOINT') throw error;
    log.error({app, generation: pointer, error: errorMessage(error)}, 'the generation at which Redis points is damaged, and has a copy');
  }
  return pager.generations(app);
}

function freshFields(clock: Clock): AppFields {
  const rest = {kind: 'files', layers: []} as const;
  return recordFields(
    {state: 'stopped', rest, fileLayers: [], token: null, lastWake: null, lastHibernate: null, lastError: null, lastFailure: null},
    hostname(),
    clock.nowMs(),
  );
}

/**
 * Gives apps that Redis does not know the addresses that their checkpoints have: sockets are saved with them. Before any other app gets one.
 * @throws CodedError as the store
 */
export async function assignAddresses(options: RecoverOptions, apps: readonly AppConfig[]): Promise<void> {
  const {store, clock, indexOf} = options;
  for (const {name} of apps) {
    if ((await store.readApp(name)) !== null) continue;
    const address = (await newestAddress(options, name))?.address;
    const index = address === undefined ? undefined : indexOf(address);
    if (index !== undefined) await store.ensureApp(name, freshFields(clock), index);
  }
}

async function newestAddress(options: RecoverOptions, app: AppName): Promise<GenerationMeta['network']> {
  const newest = (await options.pager.generations(app)).at(-1);
  if (newest === undefined) return undefined;
  try {
    return (await readMeta(options, app, newest)).meta.network;
  } catch (error) {
    // It says so when it is to be woken.
    if (errorCode(error) !== 'ERR_DAMAGED_CHECKPOINT') throw error;
    return undefined;
  }
}

export interface Recovered {
  readonly record: AppRecord;
  readonly rest: Rest;
  /** The store cannot be reached: what is known here has to be enough, and if it is not, `rest` is nothing to start from. */
  readonly outage: {readonly isUnknown: boolean; readonly message: string} | null;
}

/** What the next wake starts from, after whatever the last gateway did. */
export async function recover(options: RecoverOptions, {name}: AppConfig): Promise<Recovered> {
  const {pager, store, clock} = options;
  const isNew = (await store.readApp(name)) === null;
  let record = await store.ensureApp(name, freshFields(clock));
  const unreachable = await outageOf(pager.sweep(name));
  const generations = unreachable === undefined ? await generationsThatCount(options, name, record.generation) : await pager.generations(name);
  const outage = (isUnknown: boolean, message = unreachable): Recovered['outage'] =>
    message === undefined ? null : {isUnknown, message: `Cannot find out what app "${name}" starts from: ${message}`};
  const newest = generations.at(-1);
  if (newest !== undefined && newest > (record.generation ?? 0)) record = await adopt(options, record, newest);
  await pager.keep(name);
  const details = parseDetails(record.details);
  if (record.generation === null || (details.startsFromFiles && details.layers.length > 0)) {
    // Nobody here knows of it; others may.
    return {record, rest: {kind: 'files', layers: details.layers}, outage: outage(isNew)};
  }
  const generation = storedGeneration(options, name, record.generation, generations);
  let rest: Rest = {kind: 'checkpoint', generation, meta: {layers: [], flows: []}};
  const unread = await outageOf(
    restOf(options, name, generation).then((found) => {
      rest = found;
    }),
  );
  return {record, rest, outage: outage(unread !== undefined, unread ?? unreachable)};
}

/** @throws CodedError ERR_STORE_FAILED while the store cannot be reached */
async function restOf(options: RecoverOptions, app: AppName, generation: Generation): Promise<Rest> {
  try {
    return {kind: 'checkpoint', generation, meta: (await readMeta(options, app, generation)).meta};
  } catch (error) {
    if (errorCode(error) !== 'ERR_DAMAGED_CHECKPOINT' && errorCode(error) !== 'ERR_NO_CHECKPOINT') throw error;
    options.log.error({app, generation, error: errorMessage(error)}, 'the newest checkpoint cannot be read; it is kept');
    return {kind: 'checkpoint', generation, meta: {layers: [], flows: []}};
  }
}

/** Why the store cannot be reached; undefined when it could. */
async function outageOf(request: Promise<void>): Promise<string | undefined> {
  try {
    await request;
    return undefined;
  } catch (error) {
    if (error instanceof CodedError && error.code === 'ERR_STORE_FAILED' && error.retryable) return error.message;
    throw error;
  }
}

/**
 * Redis may point at a generation that was taken back: when it was lost at the moment of the commit, and the app went on.
 * The one before it is the last that counts then.
 */
function storedGeneration({log}: RecoverOptions, app: AppName, pointer: Generation, generations: readonly Generation[]): Generation {
  const newest = generations.filter((generation) => generation <= pointer).at(-1);
  if (newest === undefined || newest === pointer) return pointer;
  log.error({app, generation: pointer, instead: newest}, 'the newest checkpoint was taken back or is gone; the one before it counts');
  return newest;
}
