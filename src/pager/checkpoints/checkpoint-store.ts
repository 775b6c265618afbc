/** The checkpoints of all apps in one object store: commit, list, load, and remove what is no longer needed. */
import {CodedError, errorCode} from '../../core/errors.ts';
import {type AppName, type Generation, generation as toGeneration} from '../../core/ids.ts';
import type {Log} from '../../core/log.ts';
import type {ListedObject, ObjectStore} from '../../store/object-store.ts';
import {type AppKeys, openAppKeys} from './app-keys.ts';
import {type Checkpoint, type GenerationMeta, loadCheckpoint, loadMeta, readManifest} from './checkpoint.ts';
import {keysOf, numberInKey} from './checkpoint-keys.ts';
import {type CommitRequest, type CommitResult, commit} from './commit.ts';
import {type CompactionRequest, type CompactionResult, compact, compactionDue} from './compaction.ts';
import {CompactionBudget} from './compaction-budget.ts';
import type {RewritePlan} from './compaction-plan.ts';
import {DamagedCheckpointError} from './damage.ts';
import type {Keyring} from './keyring.ts';
import type {Manifest} from './manifest.ts';

export interface CheckpointStore {
  /** Resolves when the generation is durable. @throws see `commit()` in commit.ts */
  commit(request: CommitRequest): Promise<CommitResult>;
  /** Whether `compact()` would write anything. @throws as `load()` */
  compactionDue(app: AppName, generation: Generation): Promise<boolean>;
  /**
   * Writes the newest generation again, with its live pages in fewer segments. A commit of the same app gives it up.
   * @returns null when there is nothing to gain or it was given up; nothing of it is left then. @throws see `compact()` in compaction.ts
   */
  compact(request: Omit<CompactionRequest, 'signal' | 'pagesMax' | 'planned'>): Promise<CompactionResult | null>;
  /** Gives up the compaction of an app that is under way, if there is one. */
  stopCompacting(app: AppName): void;
  /** Removes the copies that compactions made of a generation, if that can be loaded, and parts of one. Only while nothing points at them. */
  discardCopies(app: AppName, generation: Generation): Promise<readonly Generation[]>;
  /** Has what sealing needs at hand before a commit is in a hurry. @throws CodedError ERR_WRONG_KEY; ObjectStoreError */
  prepareKey(app: AppName): Promise<void>;
  /** Numbers of the complete generations, the oldest first; while a remote store cannot be reached, those of which this host knows. */
  generations(app: AppName): Promise<readonly Generation[]>;
  /** @throws DamagedCheckpointError; CodedError ERR_NO_CHECKPOINT, ERR_WRONG_KEY, ERR_UNKNOWN_FORMAT; ObjectStoreError */
  load(app: AppName, generation: Generation): Promise<Checkpoint>;
  /** What `load()` says without reading more than the manifest. @throws as `load()` */
  meta(app: AppName, generation: Generation): Promise<GenerationMeta>;
  /**
   * The newest generation that can be loaded; null without any. One that is damaged is logged and passed over: compare with
   * `generations()` to know. Any other error is thrown, since it proves nothing about the checkpoint.
   */
  latestComplete(app: AppName): Promise<Checkpoint | null>;
  /**
   * Removes all generations but the newest `keep` readable ones and those in `alsoKeep` (that an instance still runs from), then the
   * objects that none of the remaining refers to. @returns the generations that were removed
   */
  prune(app: AppName, keep: number, alsoKeep?: readonly Generation[]): Promise<readonly Generation[]>;
  /** Removes what commits that did not complete left behind. At start-up only: it cannot tell another process's commit under way from a dead one's. */
  sweep(app: AppName): Promise<readonly string[]>;
}

export interface CheckpointStoreOptions {
  readonly objects: ObjectStore;
  readonly log?: Log;
  /** Seals what is written from now on, and opens what was sealed; null, the default, writes in the clear. */
  readonly keyring?: Keyring | null;
}

/** No I/O happens here; nothing needs to be closed. */
export function openCheckpointStore({objects, log, keyring = null}: CheckpointStoreOptions): CheckpointStore {
  const keys = openAppKeys(objects, keyring);
  const inTurn = perApp();
  const compacting = new Map<AppName, AbortController>();
  const budget = new CompactionBudget();
  return {
    async commit(request) {
      compacting.get(request.app)?.abort();
      return inTurn(request.app, async () => commit({objects, log, keys}, request));
    },
    compactionDue: async (app, generation) => compactionDue({objects, log, keys}, app, generation),
    async compact(request) {
      const {app} = request;
      const given = new AbortController();
      let planned: RewritePlan | undefined;
      compacting.get(app)?.abort();
      compacting.set(app, given);
      try {
        const limits = {
          pagesMax: budget.of(app),
          planned(plan: RewritePlan) {
            planned = plan;
          },
          signal: given.signal,
        };
        const made = await inTurn(app, async () => compact({objects, log, keys}, {...request, ...limits}));
        if (made !== null) budget.done(app, planned);
        return made;
      } catch (error) {
        if (!given.signal.aborted) throw error;
        budget.givenUp(app, planned);
        return null;
      } finally {
        if (compacting.get(app) === given) compacting.delete(app);
      }
    },
    stopCompacting: (app) => compacting.get(app)?.abort(),
    discardCopies: async (app, generation) => inTurn(app, async () => discardCopies({objects, log, keys}, app, generation)),
    async prepareKey(app) {
      await keys.forWriting(app);
    },
    generations: async (app) => knownGenerations(objects, app),
    async load(app, generation) {
      return load({objects, keys}, app, generation);
    },
    meta: async (app, generation) => loadMeta({objects, keys}, app, generation),
    async latestComplete(app) {
      for (const generation of (await generations(objects, app)).toReversed()) {
        try {
          return await load({objects, keys}, app, generation);
        } catch (error) {
          if (!(error instanceof DamagedCheckpointError)) throw error;
          log?.error({app, generation, err: error}, 'A generation is damaged; the one before it is offered');
        }
      }
      return null;
    },
    prune: async (app, keep, alsoKeep = []) => inTurn(app, async () => prune({objects, log}, app, {keep, alsoKeep})),
    sweep: async (app) => inTurn(app, async () => removeUnreferred({objects, log}, app)),
  };
}

/** Runs what is given for one app one after the other: a prune must not take a commit's segment for a leftover. */
function perApp(): <T>(app: AppName, work: () => Promise<T>) => Promise<T> {
  const last = new Map<AppName, Promise<unknown>>();
  return async (app, work) => {
    const result = (last.get(app) ?? Promise.resolve()).then(work);
    const settled = result.catch(() => undefined); // the caller hears of it
    last.set(app, settled);
    try {
      return await result;
    } finally {
      if (last.get(app) === settled) last.delete(app);
    }
  };
}

/** While a remote store cannot be reached, those of which this host knows: none that it wrote and has not uploaded is missing. */
async function knownGenerations(objects: ObjectStore, app: AppName): Promise<readonly Generation[]> {
  return numbersOf((await objects.listKnown?.(keysOf(app).manifests))?.objects ?? (await objects.list(keysOf(app).manifests)));
}

async function generations(objects: ObjectStore, app: AppName): Promise<readonly Generation[]> {
  return numbersOf(await objects.list(keysOf(app).manifests));
}

function numbersOf(manifests: readonly ListedObject[]): readonly Generation[] {
  return manifests
    .flatMap(({key}) => numberInKey(key) ?? [])
    .map(toGeneration)
    .sort((a, b) => a - b);
}

async function load(from: {objects: ObjectStore; keys: AppKeys}, app: AppName, generation: Generation): Promise<Checkpoint> {
  try {
    return await loadCheckpoint(from, app, generation);
  } catch (cause) {
    if (errorCode(cause) !== 'ERR_NO_OBJECT' || (await generations(from.objects, app)).includes(generation)) throw cause;
    throw new CodedError('ERR_NO_CHECKPOINT', `Cannot load generation ${generation} of app "${app}": it does not exist`, {source: 'host', cause});
  }
}

async function discardCopies(context: Context & {readonly keys: AppKeys}, app: AppName, generation: Generation): Promise<readonly Generation[]> {
  const {objects} = context;
  const copies: Generation[] = [];
  for (const other of await generations(objects, app)) {
    if (other > generation && (await manifestOrDamage(objects, app, other))?.copyOf === generation) copies.push(other);
  }
  // If the original is damaged, a copy is all that is left of it.
  if (copies.length > 0) await load(context, app, generation);
  for (const copy of copies) await objects.delete(keysOf(app).manifest(copy));
  await removeUnreferred(context, app);
  return copies;
}

interface Context {
  readonly objects: ObjectStore;
  readonly log: Log | undefined;
}

async function prune({objects, log}: Context, app: AppName, rule: {keep: number; alsoKeep: readonly Generation[]}): Promise<readonly Generation[]> {
  const all = await generations(objects, app);
  let readable = 0;
  let oldestKept: number = Number.POSITIVE_INFINITY;
  for (const generation of all.toReversed()) {
    if (readable >= Math.max(1, rule.keep)) break;
    if ((await manifestOrDamage(objects, app, generation)) !== undefined) readable++;
    oldestKept = generation;
  }
  const newestStored = await newestStoredGeneration(objects, app, all);
  // What is stored remotely goes when something newer is, too: this host may be lost with all that has not been uploaded.
  const removed = all.filter((generation) => generation < oldestKept && generation !== newestStored && !rule.alsoKeep.includes(generation));
  // Manifests first: without its manifest a generation does not exist, so a crash from here on leaves only what sweep() removes.
  for (const generation of removed) await objects.delete(keysOf(app).manifest(generation));
  await removeUnreferred({objects, log}, app);
  return removed;
}

/** Undefined without a remote store, or when nothing is in it. */
async function newestStoredGeneration(objects: ObjectStore, app: AppName, all: readonly Generation[]): Promise<Generation | undefined> {
  for (const generation of all.toReversed()) if ((await objects.isStored?.(keysOf(app).manifest(generation))) === true) return generation;
  return undefined;
}

/** Undefined when the manifest is damaged. */
async function manifestOrDamage(objects: ObjectStore, app: AppName, generation: Generation): Promise<Manifest | undefined> {
  try {
    return await readManifest(objects, app, generation);
  } catch (error) {
    if (error instanceof DamagedCheckpointError) return undefined;
    throw error;
  }
}

async function removeUnreferred({objects, log}: Context, app: AppName): Promise<readonly string[]> {
  const keys = keysOf(app);
  // Listed before the manifests are read: what a commit adds in between is not in the list. An upload writes layers after images.
  const layers = await objects.list(keys.layers);
  const stored = [...(await objects.list(keys.segments)), ...(await objects.list(keys.images))];
  const needed = new Set<string>();
  const highest = {segment: 0, generation: 0};
  for (const generation of await generations(objects, app)) {
    const manifest = await manifestOrDamage(objects, app, generation);
    if (manifest === undefined) {
      log?.warn({app, generation}, 'A manifest is damaged; no object is removed while it is kept, since it may refer to it');
      return [];
    }
    needed.add(manifest.bundle.key);
    for (const {segment} of manifest.segments) needed.add(keys.segment(segment));
    for (const layer of manifest.layers) needed.add(keys.layer(layer));
    if ((await objects.isStored?.(keys.manifest(generation))) !== true) continue;
    highest.generation = Math.max(highest.generation, generation);
    for (const {segment} of manifest.segments) highest.segment = Math.max(highest.segment, segment);
  }
  const removed: string[] = [];
  // Whose a layer is cannot be told from its name: none goes while there are images of a generation that another worker may be about to complete.
  const mayBeUploading = stored.some(({key}) => key.startsWith(keys.images) && !needed.has(key) && (numberInKey(key) ?? 0) >= highest.generation);
  if (!mayBeUploading) removed.push(...layers.map(({key}) => key).filter((key) => !needed.has(key)));
  for (const {key} of stored) {
    if (needed.has(key)) continue;
    // Another worker may be uploading a generation: what is newer than all that is complete waits until that is known.
    const limit = key.startsWith(keys.segments) ? highest.segment : highest.generation - 1;
    if ((await objects.isStored?.(key)) === true && (numberInKey(key) ?? 0) > limit) continue;
    removed.push(key);
  }
  for (const key of removed) await objects.delete(key);
  if (removed.length > 0) log?.debug({app, objects: removed.length}, 'Objects that no generation refers to were removed');
  return removed;
}
