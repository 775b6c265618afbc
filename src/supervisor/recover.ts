/** What is known of an app when a gateway starts: from Redis, and from the generations in the store, which count more. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import type {AppConfig} from '../config/value.ts';
import type {Clock} from '../core/clock.ts';
import {assert, CodedError, type ErrorSource, errorCode, errorMessage} from '../core/errors.ts';
import {type AppName, fencingToken, type Generation} from '../core/ids.ts';
import {limited} from '../core/limited.ts';
import type {Log} from '../core/log.ts';
import type {AppFields, AppRecord} from '../store/app-record.ts';
import type {State as Store} from '../store/state.ts';
import type {GenerationMeta, Pager, Rest} from './instance.ts';
import type {Origin} from './late-rest.ts';
import {type Details, parseDetails, recordFields} from './records.ts';

/** One message to the pager, and how many of them are under way. */
const surveyBatch = 64;
const batchesAtATime = 2;

/** What the supervisor needs of the store of generations, besides what one instance needs. */
export interface GenerationStore extends Pager {
  /** @throws CodedError for a manifest that is damaged or missing, and for a generation that cannot be read */
  meta(app: string, generation: Generation): Promise<{readonly meta: unknown; readonly token: number}>;
  /** Removes what interrupted commits of each have left, and says what the store has of it. */
  survey(apps: readonly string[]): Promise<readonly Survey[]>;
}

export interface Survey {
  /** Why the store cannot be reached; what is known here is all there is then. */
  readonly unreachable: string | null;
  readonly generations: readonly Generation[];
  /** What manifests say. Not of every generation. */
  readonly metas: readonly SurveyedMeta[];
}

type SurveyedMeta =
  | {readonly kind: 'read'; readonly generation: Generation; readonly meta: unknown}
  | {
      readonly kind: 'unread';
      readonly generation: Generation;
      readonly error: {readonly code: string; readonly message: string; readonly source: ErrorSource; readonly retryable: boolean};
    };

export interface RecoverOptions {
  /** The name of this one. */
  readonly worker: string;
  readonly store: Store;
  readonly pager: GenerationStore;
  readonly stateDir: string;
  /** See `SupervisorOptions`. */
  readonly indexOf: (address: string) => number | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** What Redis and the store say of an app, before anything is made of it. */
export interface Findings {
  readonly record: AppRecord;
  /** Redis did not know the app. */
  readonly isNew: boolean;
  readonly survey: Survey;
}

function parseMeta(value: unknown): GenerationMeta {
  if (typeof value === 'object' && value !== null && 'layers' in value && 'flows' in value && Array.isArray(value.layers) && Array.isArray(value.flows)) {
    return value as GenerationMeta;
  }
  throw new CodedError('ERR_DAMAGED_CHECKPOINT', 'Cannot read the layers and connections of a generation', {source: 'host'});
}

/** What the manifest says, if it was found at the beginning; the store is asked otherwise. @throws CodedError ERR_DAMAGED_CHECKPOINT and others of the store */
export async function surveyedMeta(
  options: RecoverOptions,
  name: AppName,
  {survey, generation}: {survey: Survey; generation: Generation},
): Promise<GenerationMeta> {
  const found = survey.metas.find((one) => one.generation === generation);
  if (found === undefined) return (await readMeta(options, name, generation)).meta;
  if (found.kind === 'read') return parseMeta(found.meta);
  const {code, message, source, retryable} = found.error;
  throw new CodedError(code, message, {source, retryable});
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
  const details = {startsFromFiles: false, layers: [], home: options.worker};
  const adopted: AppRecord = {...record, generation, state: 'hibernated', residency: 'warm', worker: null, details};
  await options.store.restoreApp(adopted, fencingToken(token));
  options.log.warn({app: record.name, generation, recorded: record.generation}, 'the newest checkpoint was not recorded in Redis; now it is');
  return adopted;
}

/**
 * A copy of the generation at which Redis points was being made when the gateway was killed. The app may have run since, and ended by itself: what
 * it left must not be put aside for a copy of what was before.
 */
async function generationsThatCount(
  {pager, log}: RecoverOptions,
  app: AppName,
  {pointer, generations}: {readonly pointer: Generation | null; readonly generations: readonly Generation[]},
): Promise<readonly Generation[]> {
  if (pointer === null || pointer === generations.at(-1) || !generations.includes(pointer)) return generations;
  try {
    await pager.discardCopies(app, pointer);
  } catch (error) {
    if (errorCode(error) !== 'ERR_DAMAGED_CHECKPOINT') throw error;
    log.error({app, generation: pointer, error: errorMessage(error)}, 'the generation at which Redis points is damaged, and has a copy');
  }
  return pager.generations(app);
}

function freshFields(clock: Clock, worker: string): AppFields {
  const rest = {kind: 'files', layers: []} as const;
  const fields = recordFields(
    {state: 'stopped', rest, fileLayers: [], token: null, lastWake: null, lastHibernate: null, lastError: null, lastExit: null, lastFailure: null},
    {worker, timers: null},
    clock.nowMs(),
  );
  // Nobody has had it yet.
  return {...fields, details: {startsFromFiles: true, layers: [], home: null, due: null}};
}

/**
 * Looks at many apps at once. Those that Redis does not know get records, and the addresses that their checkpoints have: sockets are saved with them.
 * @returns in the order of the apps. @throws CodedError as Redis and the store
 */
export async function findApps(options: RecoverOptions, apps: readonly AppConfig[]): Promise<readonly Findings[]> {
  const {store, clock, indexOf, pager, worker} = options;
  const batches = Array.from({length: Math.ceil(apps.length / surveyBatch)}, (_, at) => apps.slice(at * surveyBatch, (at + 1) * surveyBatch));
  const [known, surveys] = await Promise.all([
    store.readApps(apps.map(({name}) => name)),
    limited(batches, batchesAtATime, (batch) => pager.survey(batch.map(({name}) => name))),
  ]);
  const surveyed = surveys.flat();
  const found = apps.flatMap(({name}, at) => {
    const survey = surveyed[at];
    return survey === undefined ? [] : [{name, survey, isNew: known[at] === null}];
  });
  const wanted = await Promise.all(
    found.map(async ({name, survey, isNew}) => {
      const address = isNew ? (await newestAddress(options, name, survey))?.address : undefined;
      return {name, fields: freshFields(clock, worker), wantedIndex: address === undefined ? null : (indexOf(address) ?? null)};
    }),
  );
  const made = new Map((await store.ensureApps(wanted.filter((_app, at) => found[at]?.isNew === true))).map((record) => [record.name, record]));
  return found.flatMap(({name, survey, isNew}, at) => {
    const record = known[at] ?? made.get(name);
    return record === undefined ? [] : [{record, isNew, survey}];
  });
}

async function newestAddress(options: RecoverOptions, app: AppName, survey: Survey): Promise<GenerationMeta['network']> {
  const generation = survey.generations.at(-1);
  if (generation === undefined) return undefined;
  try {
    return (await surveyedMeta(options, app, {survey, generation})).network;
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

/** What the next wake starts from, after whatever the last gateway did. @param findings of this moment */
export async function recover(options: RecoverOptions, {name}: AppConfig, findings: Findings): Promise<Recovered> {
  const {pager} = options;
  const {isNew, survey} = findings;
  let {record} = findings;
  const pointer = record.generation;
  const generations = survey.unreachable === null ? await generationsThatCount(options, name, {pointer, generations: survey.generations}) : survey.generations;
  const outage = (isUnknown: boolean, message = survey.unreachable): Recovered['outage'] =>
    message === null ? null : {isUnknown, message: `Cannot find out what app "${name}" starts from: ${message}`};
  const newest = generations.at(-1);
  if (newest !== undefined && newest > (record.generation ?? 0)) record = await adopt(options, record, newest);
  await pager.keep(name);
  const details = parseDetails(record.details);
  if (record.generation === null || (details.startsFromFiles && details.layers.length > 0)) {
    // Nobody here knows of it; others may. A record that nobody has written to since it was made says nothing either.
    return {record, rest: {kind: 'files', layers: madeLayers(options, name, details)}, outage: outage(isNew || details.home === null)};
  }
  const generation = storedGeneration(options, name, record.generation, generations);
  let rest: Rest = {kind: 'checkpoint', generation, meta: {layers: [], flows: []}};
  const unread = await outageOf(
    restOf(options, name, {survey, generation}).then((found) => {
      rest = found;
    }),
  );
  return {record, rest, outage: outage(unread !== null, unread ?? survey.unreachable)};
}

/** The newest layer may be in the record only: when the gateway was killed, or the host lost power, before it was made. */
function madeLayers({stateDir, worker, log}: RecoverOptions, app: AppName, {layers, home}: Details): readonly string[] {
  const newest = layers.at(-1);
  if (newest === undefined || home !== worker || existsSync(join(stateDir, 'apps', app, 'layers', newest))) return layers;
  log.warn({app, layer: newest}, 'the app was about to start when the gateway ended; it has written nothing');
  return layers.slice(0, -1);
}

/** What the app starts from, of which nobody knew while the store could not be reached. @throws CodedError ERR_STORE_UNREACHABLE while it is still so */
export async function findOrigin(options: RecoverOptions, config: AppConfig): Promise<Origin> {
  const [found] = await findApps(options, [config]);
  assert(found !== undefined, 'An app that was asked for was not found');
  const {record, rest, outage} = await recover(options, config, found);
  if (outage?.isUnknown === true) throw new CodedError('ERR_STORE_UNREACHABLE', outage.message, {source: 'host', retryable: true});
  return {rest, pointer: record.generation};
}

/** @throws CodedError ERR_STORE_FAILED while the store cannot be reached */
async function restOf(options: RecoverOptions, app: AppName, from: {survey: Survey; generation: Generation}): Promise<Rest> {
  const {generation} = from;
  try {
    return {kind: 'checkpoint', generation, meta: await surveyedMeta(options, app, from)};
  } catch (error) {
    if (errorCode(error) !== 'ERR_DAMAGED_CHECKPOINT' && errorCode(error) !== 'ERR_NO_CHECKPOINT') throw error;
    options.log.error({app, generation, error: errorMessage(error)}, 'the newest checkpoint cannot be read; it is kept');
    return {kind: 'checkpoint', generation, meta: {layers: [], flows: []}, unread: true};
  }
}

/** Why the store cannot be reached; null when it could. */
async function outageOf(request: Promise<void>): Promise<string | null> {
  try {
    await request;
    return null;
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
