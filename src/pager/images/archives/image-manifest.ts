/** Which layers an image has, and how it is run: from the index of an OCI layout, or from the `manifest.json` of `docker save`. */
import {createHash} from 'node:crypto';
import {CodedError} from '../../../core/errors.ts';
import {
  fieldsOf,
  fits,
  type ImageConfig,
  ownPlatform,
  type ParsedConfig,
  type Platform,
  parseConfig,
  parseJson,
  platformOf,
  platformText,
  textOf,
} from './image-config.ts';
import {readSmall, type SourceFile, type SourceFiles} from './source-files.ts';

export interface Layer {
  /** For messages. */
  readonly name: string;
  readonly file: SourceFile;
  /** `sha256:...` of the file; null: not known. */
  readonly digest: string | null;
  /** The same when it is decompressed. */
  readonly diffId: string | null;
}

export interface LayeredImage {
  /** Oldest first. */
  readonly layers: readonly Layer[];
  readonly config: ImageConfig;
  readonly platform: Platform | null;
  /** What it was called where it comes from. */
  readonly tag: string | null;
}

export interface Choice {
  /** Null: this machine's. */
  readonly platform: Platform | null;
  /** Which one of several. Null: there is only one. */
  readonly tag: string | null;
}

const manifestBytesMax = 16 * 1024 * 1024;
const indexDepthMax = 4;
const indexTypes: ReadonlySet<string> = new Set(['application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json']);
const manifestTypes: ReadonlySet<string> = new Set(['application/vnd.oci.image.manifest.v1+json', 'application/vnd.docker.distribution.manifest.v2+json']);

function bad(found: string): CodedError<'ERR_BAD_ARCHIVE'> {
  return new CodedError('ERR_BAD_ARCHIVE', found, {source: 'client'});
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly platform: Platform | null;
  readonly tags: readonly string[];
}

/** @throws CodedError ERR_BAD_ARCHIVE for a digest that is none: it is part of a path */
function descriptorOf(value: unknown): Descriptor {
  const {mediaType, digest, platform, annotations} = fieldsOf(value);
  if (!/^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(textOf(digest))) throw bad(`"${textOf(digest)}" is no digest that can be used`);
  const said = fieldsOf(annotations);
  const tags = [said['io.containerd.image.name'], said['org.opencontainers.image.ref.name']].map(textOf).filter((tag) => tag !== '');
  return {mediaType: textOf(mediaType), digest: textOf(digest), platform: platformOf(platform), tags};
}

function blobName(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}

export function checkDigest(name: string, expected: string, actual: string): void {
  if (expected !== actual) throw bad(`"${name}" has the digest ${actual}, and ${expected} is expected`);
}

async function readBlob(files: SourceFiles, {digest}: {readonly digest: string}): Promise<unknown> {
  const name = blobName(digest);
  const data = await readSmall(files, name, manifestBytesMax);
  const [algorithm = ''] = digest.split(':');
  checkDigest(name, digest, `${algorithm}:${createHash(algorithm).update(data).digest('hex')}`);
  return parseJson(data, name);
}

/** A manifest and what is known of it without reading more. */
interface Candidate {
  readonly descriptor: Descriptor;
  readonly tags: readonly string[];
}

async function candidatesIn(
  files: SourceFiles,
  index: unknown,
  {tags, depth}: {readonly tags: readonly string[]; readonly depth: number},
): Promise<Candidate[]> {
  if (depth > indexDepthMax) throw bad('its indexes lie in one another too deep');
  const {manifests} = fieldsOf(index);
  const found: Candidate[] = [];
  for (const value of Array.isArray(manifests) ? manifests : []) {
    // Statements of who built an image have platform unknown.
    if (textOf(fieldsOf(fieldsOf(value)['platform'])['architecture']) === 'unknown') continue;
    const descriptor = descriptorOf(value);
    const named = [...tags, ...descriptor.tags];
    if (indexTypes.has(descriptor.mediaType)) found.push(...(await candidatesIn(files, await readBlob(files, descriptor), {tags: named, depth: depth + 1})));
    else if (manifestTypes.has(descriptor.mediaType)) found.push({descriptor, tags: named});
  }
  return found;
}

/** `wiki:1` is also the tag of `docker.io/library/wiki:1`, and `1` that of both. */
function isTagged(tags: readonly string[], wanted: string): boolean {
  return tags.some((tag) => tag === wanted || tag.endsWith(`/${wanted}`) || tag.endsWith(`:${wanted}`));
}

function listed(tags: readonly string[]): string {
  return [...new Set(tags)].map((tag) => `"${tag}"`).join(', ') || 'without tags';
}

/** @throws CodedError ERR_BAD_ARCHIVE */
export async function readOciLayout(files: SourceFiles, {platform, tag}: Choice): Promise<LayeredImage> {
  const index = parseJson(await readSmall(files, 'index.json', manifestBytesMax), 'index.json');
  const all = await candidatesIn(files, index, {tags: [], depth: 0});
  const tagged = tag === null ? all : all.filter(({tags}) => isTagged(tags, tag));
  if (tagged.length === 0)
    throw bad(all.length === 0 ? 'there is no image in it' : `none of its images has the tag "${tag}"; there are: ${listed(all.flatMap(({tags}) => tags))}`);
  const wanted = platform ?? ownPlatform();
  const read = new Map<string, Candidate & ReadManifest>();
  for (const candidate of tagged) {
    if (candidate.descriptor.platform !== null && !fits(candidate.descriptor.platform, wanted)) continue;
    const manifest = await readManifest(files, candidate.descriptor);
    const offered = candidate.descriptor.platform ?? manifest.parsed.platform;
    if (offered === null || fits(offered, wanted)) read.set(candidate.descriptor.digest, {...candidate, ...manifest});
  }
  const [chosen, ...others] = read.values();
  if (chosen === undefined)
    throw wrongPlatform(
      await Promise.all(tagged.map(async ({descriptor}) => descriptor.platform ?? (await readManifest(files, descriptor)).parsed.platform)),
      wanted,
    );
  if (others.length > 0) throw bad(`it holds several images, ${listed([chosen, ...others].flatMap(({tags}) => tags))}: name one of them with --tag`);
  return {
    layers: await layersOf(files, chosen),
    config: chosen.parsed.config,
    platform: chosen.descriptor.platform ?? chosen.parsed.platform,
    tag: chosen.tags.at(-1) ?? null,
  };
}

function wrongPlatform(offered: readonly (Platform | null)[], wanted: Platform): CodedError {
  const names = [...new Set(offered.map((platform) => (platform === null ? 'an unknown platform' : platformText(platform))))].join(', ');
  return bad(`it is for ${names}, and ${platformText(wanted)} is wanted; another platform is named with --platform`);
}

interface ReadManifest {
  readonly layers: readonly unknown[];
  readonly parsed: ParsedConfig;
}

async function readManifest(files: SourceFiles, descriptor: Descriptor): Promise<ReadManifest> {
  const {config, layers} = fieldsOf(await readBlob(files, descriptor));
  if (!Array.isArray(layers)) throw bad(`"${blobName(descriptor.digest)}" is no manifest of an image`);
  return {layers, parsed: parseConfig(await readBlob(files, descriptorOf(config)))};
}

async function layersOf(files: SourceFiles, {layers, parsed}: ReadManifest): Promise<Layer[]> {
  expectDiffIds(layers.length, parsed);
  return Promise.all(
    layers.map(async (value, number) => {
      const {digest, mediaType} = descriptorOf(value);
      const name = blobName(digest);
      if (mediaType.includes('encrypted')) throw bad(`"${name}" is encrypted`);
      const file = await files.find(name);
      if (file === undefined) throw bad(`it has no "${name}", a layer of the image`);
      return {name, file, digest, diffId: parsed.diffIds[number] ?? null};
    }),
  );
}

function expectDiffIds(layers: number, {diffIds}: ParsedConfig): void {
  if (diffIds.length !== 0 && diffIds.length !== layers) throw bad(`its manifest has ${layers} layers, its configuration ${diffIds.length}`);
}

/** Whether a `manifest.json` is that of `docker save`, and not a file of a root file system that is called so. */
export function isDockerManifest(value: unknown): value is readonly Readonly<Record<string, unknown>>[] {
  return (
    Array.isArray(value) && value.length > 0 && value.every((item) => typeof fieldsOf(item)['Config'] === 'string' && Array.isArray(fieldsOf(item)['Layers']))
  );
}

/** @throws CodedError ERR_BAD_ARCHIVE */
export async function readDockerArchive(files: SourceFiles, {platform, tag}: Choice): Promise<LayeredImage> {
  const images = parseJson(await readSmall(files, 'manifest.json', manifestBytesMax), 'manifest.json');
  if (!isDockerManifest(images)) throw bad('its "manifest.json" is not that of an image');
  const tagsOf = ({RepoTags}: Readonly<Record<string, unknown>>): string[] => (Array.isArray(RepoTags) ? RepoTags.map(textOf) : []);
  const matching = tag === null ? images : images.filter((image) => isTagged(tagsOf(image), tag));
  const [image, ...others] = matching;
  if (image === undefined) throw bad(`none of its images has the tag "${tag}"; there are: ${listed(images.flatMap(tagsOf))}`);
  if (others.length > 0) throw bad(`it holds several images, ${listed(matching.flatMap(tagsOf))}: name one of them with --tag`);
  const configName = textOf(image['Config']);
  const data = await readSmall(files, configName, manifestBytesMax);
  const digest = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(configName)?.[1];
  if (digest !== undefined) checkDigest(configName, `sha256:${digest}`, `sha256:${createHash('sha256').update(data).digest('hex')}`);
  const parsed = parseConfig(parseJson(data, configName));
  const wanted = platform ?? ownPlatform();
  if (parsed.platform !== null && !fits(parsed.platform, wanted)) throw wrongPlatform([parsed.platform], wanted);
  const names = Array.isArray(image['Layers']) ? image['Layers'].map(textOf) : [];
  expectDiffIds(names.length, parsed);
  const layers = await Promise.all(
    names.map(async (name, number): Promise<Layer> => {
      const file = await files.find(name);
      if (file === undefined) throw bad(`it has no "${name}", a layer of the image`);
      return {name, file, digest: null, diffId: parsed.diffIds[number] ?? null};
    }),
  );
  return {layers, config: parsed.config, platform: parsed.platform, tag: tagsOf(image)[0] ?? null};
}
