/** Images of root file systems in the object store. Works beside a running gateway, and without one. */
import {createWriteStream} from 'node:fs';
import {mkdir, mkdtemp, readdir, rm} from 'node:fs/promises';
import {join, resolve} from 'node:path';
import {pipeline} from 'node:stream/promises';
import {combineSources} from '../config/added-sources.ts';
import type {Config} from '../config/value.ts';
import {errorCode} from '../core/errors.ts';
import {type ImageConfig, parsePlatform} from '../pager/images/archives/image-config.ts';
import {temporaryPrefix} from '../pager/images/archives/source-files.ts';
import {type ImportProgress, importImage} from '../pager/images/rootfs-image-import.ts';
import {loadImage, type NamedImage} from '../pager/images/rootfs-image-object.ts';
import {expectImage, listImages, type Removed, removeImage, sweepImages} from '../pager/images/rootfs-image-remove.ts';
import {imagesOfCheckpoints} from '../pager/images/rootfs-image-uses.ts';
import {storedBytesOf, verifyImages} from '../pager/images/rootfs-image-verify.ts';
import type {ObjectStore} from '../store/object-store.ts';
import {readAddedFile} from './added-file.ts';
import {loadValid, loadValidSources} from './configuration.ts';
import {confirm} from './confirm.ts';
import {givenEnvironment} from './environment.ts';
import {bytes, table} from './format.ts';
import {type Column, type ListingOptions, list} from './listing.ts';
import {openObjects, openPending} from './open-objects.ts';
import {type Progress, progress} from './progress.ts';
import {printJson} from './remote.ts';
import {interruptedBy, stopSignal} from './stop-signal.ts';

type Files = readonly string[] | undefined;

/** Aborted by Ctrl-C or SIGTERM; a second one ends the process at once. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  void stopSignal().then((signal) => controller.abort(interruptedBy(signal)));
  return controller.signal;
}

/** What imports that were killed have left in the state directory of this host. */
async function removeTemporary(directory: string): Promise<number> {
  let removed = 0;
  for (const name of await readdir(directory).catch(() => [])) {
    const pid = new RegExp(`^${temporaryPrefix}(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && isRunning(Number(pid))) continue;
    await rm(join(directory, name), {recursive: true, force: true});
    removed += 1;
  }
  return removed;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) !== 'ESRCH';
  }
}

export interface ImportArguments {
  readonly json: boolean;
  readonly platform: string | undefined;
  readonly tag: string | undefined;
}

/** One line for each of the two phases. */
function importProgress(name: string, scope: DisposableStack): (now: ImportProgress) => void {
  const titles = {check: `check ${name}`, store: `import ${name}`} as const;
  let shown: {readonly phase: ImportProgress['phase']; readonly line: Progress} | undefined;
  scope.defer(() => shown?.line[Symbol.dispose]());
  return ({phase, files, doneBytes, totalBytes}) => {
    if (shown?.phase !== phase) {
      shown?.line[Symbol.dispose]();
      shown = {phase, line: progress(titles[phase], totalBytes)};
    }
    shown.line.at(doneBytes, `${files} files`);
  };
}

/** What comes on standard input, as a file: an archive is read more than once. */
async function receive(temporaryDir: string, {scope, signal}: {readonly scope: AsyncDisposableStack; readonly signal: AbortSignal}): Promise<string> {
  const directory = await mkdtemp(join(temporaryDir, `${temporaryPrefix}${process.pid}-`));
  scope.defer(() => rm(directory, {recursive: true, force: true}));
  using line = progress('receive', null);
  let receivedBytes = 0;
  const counted = async function* (data: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const part of data) {
      receivedBytes += part.length;
      line.at(receivedBytes);
      yield part;
    }
  };
  const path = join(directory, 'archive');
  await pipeline(process.stdin, counted, createWriteStream(path, {mode: 0o600}), {signal});
  return path;
}

/** @param source a path, or `-` for standard input. @returns the exit status */
export async function imageImport(files: Files, name: string, source: string, {json, platform, tag}: ImportArguments): Promise<number> {
  await using scope = new AsyncDisposableStack();
  const config = await loadValid(files, {quiet: true});
  const objects = await openObjects(config, scope);
  const temporaryDir = join(config.global.stateDir, 'imports');
  await mkdir(temporaryDir, {recursive: true, mode: 0o700});
  await removeTemporary(temporaryDir);
  const signal = interruption();
  const path = source === '-' ? await receive(temporaryDir, {scope, signal}) : resolve(source);
  using lines = new DisposableStack();
  const imported = await importImage({
    objects,
    name,
    source: path,
    temporaryDir,
    platform: platform === undefined ? null : parsePlatform(platform),
    tag: tag ?? null,
    onProgress: importProgress(name, lines),
    signal,
  });
  lines.dispose();
  if (json) printJson(imported);
  else {
    const {fileCount, contentBytes, storedBytes, digest} = imported;
    process.stdout.write(`${name}: ${fileCount} files, ${bytes(contentBytes)}, ${bytes(storedBytes)} of them new and stored; sha256:${digest}\n`);
  }
  return 0;
}

type ListedImage = Awaited<ReturnType<typeof listImages>>[number];

const imageColumns: readonly Column<ListedImage>[] = [
  {head: 'NAME', name: 'name', value: ({name}) => name, shortest: 12},
  {head: 'DIGEST', name: 'digest', value: ({digest}) => digest, text: ({digest}) => digest.slice(0, 12), rank: 1},
  {head: 'FILES', name: 'files', value: ({fileCount}) => fileCount, rank: 3},
  {head: 'SIZE', name: 'content_bytes', value: ({contentBytes}) => contentBytes, text: ({contentBytes}) => bytes(contentBytes)},
  {head: 'IMPORTED', name: 'imported_at', value: ({importedAt}) => importedAt, text: ({importedAt}) => importedAt.slice(0, 16), rank: 2},
  {head: 'FROM', name: 'from', value: ({origin}) => (origin === undefined ? null : (origin.tag ?? origin.kind)), rank: 4, shortest: 8},
];

/** @returns the exit status */
export function imageList(files: Files, options: ListingOptions): Promise<number> {
  return list(options, async () => {
    await using scope = new AsyncDisposableStack();
    const images = await listImages(await openObjects(await loadValid(files, {quiet: true}), scope));
    return {columns: imageColumns, rows: images, json: (rows) => rows};
  });
}

function configRows({entrypoint, cmd, env, user, workingDir, exposedPorts, labels, stopSignal: signal}: ImageConfig): [string, string][] {
  const quoted = (words: readonly string[]): string => (words.length === 0 ? '-' : JSON.stringify(words));
  return [
    ['entrypoint', quoted(entrypoint)],
    ['command', quoted(cmd)],
    ['user', user === '' ? '-' : user],
    ['workdir', workingDir === '' ? '-' : workingDir],
    ['expose', exposedPorts.map(({protocol, port}) => `${protocol} ${port}`).join(', ') || '-'],
    ['stop signal', signal ?? '-'],
    ...env.map((variable): [string, string] => ['env', variable]),
    ...Object.entries(labels).map(([label, value]): [string, string] => ['label', `${label}=${value}`]),
  ];
}

/** Everything about one image. @returns the exit status */
export async function imageShow(files: Files, name: string, {json}: {json: boolean}): Promise<number> {
  await using scope = new AsyncDisposableStack();
  const loaded = await loadValidSources(files, {quiet: true});
  const {config} = loaded;
  const objects = await openObjects(config, scope);
  const named = await expectImage(objects, name, 'show');
  const image = await loadImage(objects, named.digest);
  const apps = await appsWith(loaded, name);
  const inUse = {storedBytes: storedBytesOf(image), apps, checkpoints: (await neededDigests(config, objects)).has(named.digest)};
  if (json) printJson({...named, ...inUse});
  else {
    const {digest, importedAt, fileCount, contentBytes, origin} = named;
    const rows: [string, string][] = [
      ['name', name],
      ['digest', `sha256:${digest}`],
      ['imported', importedAt],
      ['from', origin === undefined ? '-' : [origin.kind, origin.platform, origin.tag].filter((part) => part !== null).join(', ')],
      ['files', `${fileCount}, ${bytes(contentBytes)}, ${bytes(inUse.storedBytes)} stored`],
      ['used by', [...apps.map((app) => `app ${app}`), ...(inUse.checkpoints ? ['checkpoints'] : [])].join(', ') || '-'],
      ...(named.config === undefined ? [] : configRows(named.config)),
    ];
    process.stdout.write(table(['', ''], rows).replace(/^\s*\n/, ''));
  }
  return 0;
}

/** Also of those that were added, as far as this host knows. */
async function appsWith({config, sources}: Awaited<ReturnType<typeof loadValidSources>>, image: string): Promise<readonly string[]> {
  const {apps: added} = await readAddedFile(config.global.stateDir);
  const combined = await combineSources(sources, added, {env: givenEnvironment, missingPath: 'warning'});
  return (combined.config ?? config).apps.filter(({root}) => root.kind === 'image' && root.name === image).map(({name}) => name);
}

/** Also of what waits here to be uploaded: read first, so that what is uploaded meanwhile is in one of both. */
async function neededDigests(config: Config, objects: ObjectStore): Promise<ReadonlySet<string>> {
  const pending = await openPending(config);
  const digests = pending === null ? [] : await imagesOfCheckpoints(pending);
  return new Set([...digests, ...(await imagesOfCheckpoints(objects))]);
}

function removedText({images, packs, bytes: freed, deferred}: Removed): string {
  const later = deferred ? '; an import is under way, so that the rest goes with the next removal' : '';
  return `${images} images and ${packs} packs that nothing needs, ${bytes(freed)}${later}`;
}

/** @returns the exit status */
export async function imageRemove(files: Files, name: string, {json, yes}: {json: boolean; yes: boolean}): Promise<number> {
  await using scope = new AsyncDisposableStack();
  const loaded = await loadValidSources(files, {quiet: true});
  const {config} = loaded;
  const objects = await openObjects(config, scope);
  await expectImage(objects, name, 'remove');
  const apps = await appsWith(loaded, name);
  if (apps.length > 0)
    await confirm(`Remove image "${name}", from which ${apps.map((app) => `app "${app}"`).join(', ')} could not be started any more?`, {yes});
  const removed = await removeImage(name, {objects, neededDigests: async () => neededDigests(config, objects)});
  if (json) printJson(removed);
  else process.stdout.write(`${name}: the name is gone, with ${removedText(removed)}\n`);
  return 0;
}

/** Removes what no name and no checkpoint needs. @returns the exit status */
export async function imageGc(files: Files, {json, dryRun}: {json: boolean; dryRun: boolean}): Promise<number> {
  await using scope = new AsyncDisposableStack();
  const config = await loadValid(files, {quiet: true});
  const objects = await openObjects(config, scope);
  if (!dryRun) await removeTemporary(join(config.global.stateDir, 'imports'));
  const removed = await sweepImages({objects, neededDigests: async () => neededDigests(config, objects), dryRun});
  if (json) printJson(removed);
  else process.stdout.write(`${dryRun ? 'would remove' : 'removed'} ${removedText(removed)}\n`);
  return 0;
}

/** Reads every chunk of the images against its checksum. @param names default: all. @returns the exit status: 1 when something is damaged */
export async function imageVerify(files: Files, names: readonly string[], {json}: {json: boolean}): Promise<number> {
  await using scope = new AsyncDisposableStack();
  const objects = await openObjects(await loadValid(files, {quiet: true}), scope);
  const images: readonly NamedImage[] =
    names.length === 0 ? await listImages(objects) : await Promise.all(names.map((name) => expectImage(objects, name, 'verify')));
  using line = progress('verify', null);
  const verified = await verifyImages({
    objects,
    images,
    onProgress({doneBytes, totalBytes}) {
      line.total(totalBytes);
      line.at(doneBytes);
    },
    signal: interruption(),
  });
  line[Symbol.dispose]();
  if (json) printJson(verified);
  else {
    for (const {images: damaged, found, files: paths} of verified.damage) {
      const what = paths.length === 0 ? 'all of it' : paths.join(', ');
      process.stdout.write(`${damaged.join(', ')}: ${found}; it costs ${what}\n`);
    }
    const outcome = verified.damage.length === 0 ? 'nothing is damaged' : `${verified.damage.length} damaged`;
    process.stdout.write(`${verified.images} images, ${verified.chunks} chunks, ${bytes(verified.bytes)}: ${outcome}\n`);
  }
  return verified.damage.length === 0 ? 0 : 1;
}
