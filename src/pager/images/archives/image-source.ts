/** What an image is made of, told by its content: a directory, a tarball, or layers in one of the forms in which images are exchanged. */
import {createReadStream} from 'node:fs';
import {access, stat} from 'node:fs/promises';
import {join} from 'node:path';
import {CodedError, errorCode} from '../../../core/errors.ts';
import {compressionOf, decompress} from './decompress.ts';
import {parseJson} from './image-config.ts';
import {type Choice, isDockerManifest, type LayeredImage, readDockerArchive, readOciLayout} from './image-manifest.ts';
import {decompressedFile, fileAt, filesOfArchive, filesOfDirectory, headOf, namesAtTop, readSmall, type SourceFiles} from './source-files.ts';

export type SourceKind = 'directory' | 'tar' | 'oci-layout' | 'oci-archive' | 'docker-layout' | 'docker-archive';

export type ImageSource =
  | {readonly kind: 'directory'; readonly path: string}
  | {readonly kind: 'tar'; readonly image: Pick<LayeredImage, 'layers'>}
  | {readonly kind: Exclude<SourceKind, 'directory' | 'tar'>; readonly image: LayeredImage};

export interface SourceOptions extends Choice {
  /** Where an archive that is compressed as a whole is decompressed. */
  readonly temporaryDir: string;
  /** Removes that. */
  readonly scope: AsyncDisposableStack;
  readonly signal: AbortSignal;
}

const manifestBytesMax = 16 * 1024 * 1024;

/** @throws CodedError ERR_IMAGE_SOURCE, ERR_BAD_ARCHIVE */
export async function openSource(path: string, options: SourceOptions): Promise<ImageSource> {
  const status = await stat(path).catch((cause: unknown) => {
    throw new CodedError('ERR_IMAGE_SOURCE', errorCode(cause) ?? 'it cannot be read', {source: 'client'});
  });
  const source = status.isDirectory() ? await openDirectory(path, options) : await openArchive(path, status.size, options);
  if ((source.kind === 'directory' || source.kind === 'tar') && (options.platform !== null || options.tag !== null)) {
    throw new CodedError('ERR_IMAGE_SOURCE', 'it holds files only, so there is no platform and no tag to choose', {source: 'client'});
  }
  return source;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function openDirectory(path: string, choice: Choice): Promise<ImageSource> {
  const files = filesOfDirectory(path);
  if ((await exists(join(path, 'oci-layout'))) && (await exists(join(path, 'index.json')))) {
    return {kind: 'oci-layout', image: await readOciLayout(files, choice)};
  }
  if (await isDockerSave(files)) return {kind: 'docker-layout', image: await readDockerArchive(files, choice)};
  return {kind: 'directory', path};
}

async function openArchive(path: string, sizeBytes: number, options: SourceOptions): Promise<ImageSource> {
  const compression = compressionOf(await headOf(path));
  const names = await namesAtTop(decompress(createReadStream(path, {highWaterMark: 1024 * 1024}), compression));
  const isOci = names.has('oci-layout') && names.has('index.json');
  if (isOci || names.has('manifest.json')) {
    const files = await filesOfArchive(await decompressedFile(path, options));
    if (isOci) return {kind: 'oci-archive', image: await readOciLayout(files, options)};
    if (await isDockerSave(files)) return {kind: 'docker-archive', image: await readDockerArchive(files, options)};
  }
  return {kind: 'tar', image: {layers: [{name: path, file: fileAt(path, sizeBytes), digest: null, diffId: null}]}};
}

async function isDockerSave(files: SourceFiles): Promise<boolean> {
  const file = await files.find('manifest.json');
  if (file === undefined || file.sizeBytes > manifestBytesMax) return false;
  try {
    return isDockerManifest(parseJson(await readSmall(files, 'manifest.json', manifestBytesMax), 'manifest.json'));
  } catch (error) {
    if (errorCode(error) !== 'ERR_BAD_ARCHIVE') throw error;
    return false; // A file of a root file system that is called so.
  }
}
