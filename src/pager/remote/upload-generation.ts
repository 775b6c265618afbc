/**
 * Brings one generation to the remote store: whatever it depends on, its bundle (whose name tells the token), its segments, the layers of its
 * files, the cold object, and last the manifest, which must be new. Harmless to repeat from the beginning.
 *
 * Another worker may have written the same generation. The newer fencing token wins: the older one's generation is set aside, never removed.
 */
import {CodedError, errorCode, errorMessage} from '../../core/errors.ts';
import type {AppName} from '../../core/ids.ts';
import type {Log} from '../../core/log.ts';
import type {CachedStore} from '../../store/cached-store.ts';
import type {ListedObject} from '../../store/object-store.ts';
import {keysOf, numberInKey} from '../checkpoints/checkpoint-keys.ts';
import {type Manifest, parseManifest} from '../checkpoints/manifest.ts';
import type {ColdObject} from './cold-writer.ts';

/** Objects on their way at a time. */
const concurrency = 3;

export interface UploadContext {
  readonly objects: CachedStore;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Null: without a cold object. */
  readonly cold: ((app: AppName, generation: number) => Promise<ColdObject>) | null;
  /** Stores a layer of the app's files, unless it is stored. Null: files stay where they are. */
  readonly layer: ((app: AppName, layer: string, signal: AbortSignal) => Promise<void>) | null;
  readonly onObject: (key: string) => void;
}

/** Numbers of the generations whose manifest is pending, the oldest first. */
export async function pendingGenerations(objects: CachedStore, app: AppName): Promise<readonly number[]> {
  const listed = await objects.pendingObjects(keysOf(app).manifests);
  return listed.flatMap(({key}) => numberInKey(key) ?? []).sort((a, b) => a - b);
}

/** What has yet to be uploaded. Without a manifest, parts of a generation are those of a commit under way, or of one that died. */
export async function pendingUploads(objects: CachedStore, app: AppName): Promise<readonly ListedObject[]> {
  const pending = await objects.pendingObjects(`apps/${app}/`);
  const keys = keysOf(app);
  const left = pending.some(({key}) => key.startsWith(keys.manifests)) ? [keys.aside] : ofGenerations(app);
  return pending.filter(({key}) => !left.some((prefix) => key.startsWith(prefix)));
}

function ofGenerations(app: AppName): readonly string[] {
  const {segments, images, manifests, colds, aside} = keysOf(app);
  return [segments, images, manifests, colds, aside];
}

/** What generations do not consist of but need: keys, predictions, layers. @throws as `CachedStore.upload()` */
export async function uploadOthers({objects, signal, onObject}: UploadContext, app: AppName): Promise<void> {
  const keys = keysOf(app);
  for (const {key} of await objects.pendingObjects(`apps/${app}/`)) {
    if (ofGenerations(app).some((prefix) => key.startsWith(prefix))) continue;
    onObject(key);
    await objects.upload(key, {ifAbsent: key === keys.key, signal});
  }
}

/**
 * @throws CodedError ERR_OVERRULED when another worker with a newer token has written this generation; ours has been set aside then
 * @throws ObjectStoreError, which may pass
 */
export async function uploadGeneration(context: UploadContext, app: AppName, generation: number): Promise<void> {
  const {objects, onObject} = context;
  const keys = keysOf(app);
  const key = keys.manifest(generation);
  const manifest = parseManifest(await objects.get(key), {object: key, app, generation});
  const upload = async (object: string): Promise<void> => {
    onObject(object);
    await objects.upload(object, {ifAbsent: true, signal: context.signal});
  };
  try {
    await upload(manifest.bundle.key);
    await inParallel(manifest.segments, async ({segment}) => uploadSegment(context, manifest, keys.segment(segment), upload));
    await uploadLayers(context, manifest);
    await requireAll(context, manifest);
    await uploadCold(context, manifest);
    await upload(key);
  } catch (error) {
    if (errorCode(error) !== 'ERR_UPLOAD_CONFLICT') throw error;
    await resolveConflict(context, manifest, error);
  }
  await removeOldColds(context, manifest);
}

async function uploadLayers({layer, signal, onObject}: UploadContext, {app, layers}: Manifest): Promise<void> {
  if (layer === null) return;
  for (const name of layers) {
    onObject(keysOf(app).layer(name));
    await layer(app, name, signal);
  }
}

async function uploadSegment({objects}: UploadContext, manifest: Manifest, key: string, upload: (key: string) => Promise<void>): Promise<void> {
  try {
    await upload(key);
  } catch (error) {
    if (errorCode(error) !== 'ERR_UPLOAD_CONFLICT') throw error;
    // The number was taken by a worker that had not seen ours. Its bundle was there before its segments, and tells its token.
    const newest = await newestRival(objects, manifest);
    if (newest !== undefined && newest > manifest.token) throw error;
    await objects.upload(key, {ifAbsent: false});
  }
}

/** The newest other token of which anything of this generation, or of a later one, is stored. */
async function newestRival(objects: CachedStore, {app, generation, token}: Manifest): Promise<number | undefined> {
  objects.refresh(`apps/${app}/`);
  const tokens = (await objects.list(keysOf(app).images))
    .filter(({key}) => (numberInKey(key) ?? 0) >= generation)
    .map(({key}) => Number(key.slice(key.lastIndexOf('-') + 1)))
    .filter((other) => other !== token);
  return tokens.length === 0 ? undefined : Math.max(...tokens);
}

/** A manifest must not say that something is stored which is not. */
async function requireAll({objects, layer}: UploadContext, {app, bundle, segments, layers}: Manifest): Promise<void> {
  const keys = keysOf(app);
  const needed = [bundle, ...segments.map(({segment, sizeBytes}) => ({key: keys.segment(segment), sizeBytes}))];
  // How long these are was not known when the manifest was written.
  for (const name of layer === null ? [] : layers) if (!(await objects.isStored(keys.layer(name)))) throw incomplete(objects, app, keys.layer(name));
  for (const {key, sizeBytes} of needed) {
    const storedBytes = (await objects.isStored(key)) ? await objects.size(key) : undefined;
    if (storedBytes === sizeBytes) continue;
    throw incomplete(objects, app, key);
  }
}

function incomplete(objects: CachedStore, app: AppName, key: string): CodedError {
  objects.refresh(`apps/${app}/`);
  return new CodedError('ERR_NOT_STORED', `Cannot complete generation in the store: object "${key}" is not there in full`, {source: 'host', retryable: true});
}

/** Dispensable: a wake without it takes a few round trips more. */
async function uploadCold({objects, cold, log, signal, onObject}: UploadContext, {app, generation}: Manifest): Promise<void> {
  if (cold === null || (await pendingGenerations(objects, app)).at(-1) !== generation) return;
  try {
    const {key, body} = await cold(app, generation);
    onObject(key);
    await objects.putRemote(key, body);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof CodedError && error.retryable) throw error;
    log.warn({app, generation, error: errorMessage(error)}, 'the cold object could not be made; a cold wake takes longer');
  }
}

async function removeOldColds({objects, log}: UploadContext, {app, generation}: Manifest): Promise<void> {
  try {
    for (const {key} of await objects.list(keysOf(app).colds)) if ((numberInKey(key) ?? 0) < generation) await objects.delete(key);
  } catch (error) {
    // The next upload tries again.
    log.debug({app, error: errorMessage(error)}, 'an old cold object stays');
  }
}

async function resolveConflict(context: UploadContext, manifest: Manifest, conflict: unknown): Promise<void> {
  const {objects, log} = context;
  const {app, generation, token} = manifest;
  const rival = await rivalManifest(objects, manifest);
  if (rival === undefined) {
    const newest = await newestRival(objects, manifest);
    // Nothing complete is there: what is in the way will be, or it is ours to replace at the next attempt.
    if (newest === undefined || newest < token) throw conflict;
    return overruled(context, manifest, newest);
  }
  if (rival.token >= token) return overruled(context, manifest, rival.token);
  log.error({app, generation, token, other: rival.token}, 'an older owner had stored this generation; it is set aside');
  const key = keysOf(app).manifest(generation);
  await objects.putRemote(`${keysOf(app).aside}${generation}-${rival.token}.json`, await objects.getRemote(key));
  await objects.upload(key, {ifAbsent: false, signal: context.signal});
  // Nobody uses it without its manifest.
  await objects.delete(keysOf(app).cold(generation, rival.token)).catch(() => undefined);
}

async function rivalManifest(objects: CachedStore, {app, generation}: Manifest): Promise<Manifest | undefined> {
  const object = keysOf(app).manifest(generation);
  try {
    return parseManifest(await objects.getRemote(object), {object, app, generation});
  } catch (error) {
    if (errorCode(error) === 'ERR_NO_OBJECT') return undefined;
    throw error;
  }
}

async function overruled({objects}: UploadContext, manifest: Manifest, by: number): Promise<never> {
  const {app, generation, token} = manifest;
  const keys = keysOf(app);
  const aside = `${keys.aside}${generation}-${token}/`;
  // The manifest first: without it the generation does not exist, whatever happens now.
  const own = [keys.manifest(generation), manifest.bundle.key, ...manifest.segments.map(({segment}) => keys.segment(segment))];
  for (const key of own) await objects.setAside(key, `${aside}${key.slice(`apps/${app}/`.length).replaceAll('/', '.')}`);
  await objects.delete(keys.cold(generation, token)).catch(() => undefined); // That of the newer owner is preferred anyway.
  objects.refresh(`apps/${app}/`);
  const found = `token ${token} is older than ${by}, which has stored it; ours is kept under "${aside}"`;
  throw new CodedError('ERR_OVERRULED', `Cannot upload generation ${generation} of app "${app}": ${found}`, {source: 'host'});
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const worker = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  const results = await Promise.allSettled(Array.from({length: concurrency}, worker));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
