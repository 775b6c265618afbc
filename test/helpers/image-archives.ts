/** Images as others make them: layers, OCI layouts, what `docker save` writes. Put together by hand, so that they can be wrong as well. */
import {createHash} from 'node:crypto';
import {mkdir, writeFile} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import {gzipSync, zstdCompressSync} from 'node:zlib';
import {run} from '../../src/core/command.ts';

export interface TarItem {
  readonly name: string;
  /** Default: a file. */
  readonly type?: string;
  readonly content?: Buffer | string;
  readonly link?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly device?: readonly [number, number];
  /** Records of pax. */
  readonly pax?: Readonly<Record<string, Buffer | string>>;
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc(-data.length & 511)]);
}

function header({name, type = '0', link = '', mode = 0o644, uid = 0, device = [0, 0]}: TarItem, size: number): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, at: number, length: number): void => void block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  block.write(name, 0, 100, 'latin1');
  octal(mode, 100, 8);
  octal(uid, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(1_000_000_000, 136, 12);
  block.write(type, 156, 'latin1');
  block.write(link, 157, 100, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  octal(device[0], 329, 8);
  octal(device[1], 337, 8);
  block.fill(0x20, 148, 156);
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    8,
  );
  return block;
}

function paxRecord(key: string, value: Buffer | string): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** A tar archive with exactly these entries, whatever they are. */
export function tarOf(items: readonly TarItem[]): Buffer {
  const blocks = items.flatMap((item) => {
    const content = Buffer.from(item.content ?? '');
    const own = [header(item, content.length), padded(content)];
    if (item.pax === undefined) return own;
    const records = Buffer.concat(Object.entries(item.pax).map(([key, value]) => paxRecord(key, value)));
    return [header({name: 'pax', type: 'x'}, records.length), padded(records), ...own];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

export function sha256Of(data: Buffer): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

export type LayerCompression = 'none' | 'gzip' | 'zstd';

const compressed: Readonly<Record<LayerCompression, (data: Buffer) => Buffer>> = {
  none: (data) => data,
  gzip: (data) => gzipSync(data),
  zstd: (data) => zstdCompressSync(data),
};
const suffix: Readonly<Record<LayerCompression, string>> = {none: '', gzip: '+gzip', zstd: '+zstd'};

export interface ImageParts {
  readonly layers: readonly {readonly tar: Buffer; readonly compression?: LayerCompression}[];
  readonly config?: Readonly<Record<string, unknown>>;
  readonly architecture?: string;
  readonly variant?: string;
  readonly tag?: string;
}

const ownArchitecture = process.arch === 'x64' ? 'amd64' : process.arch;

/** The files of an image by name; the last one is its manifest. */
function blobsOf({layers, config = {}, architecture = ownArchitecture, variant}: ImageParts): {
  blobs: Map<string, Buffer>;
  manifest: Buffer;
  configData: Buffer;
} {
  const blobs = new Map<string, Buffer>();
  const add = (data: Buffer): string => {
    blobs.set(`blobs/${sha256Of(data).replace(':', '/')}`, data);
    return sha256Of(data);
  };
  const descriptors = layers.map(({tar, compression = 'gzip'}) => {
    const data = compressed[compression](tar);
    return {mediaType: `application/vnd.oci.image.layer.v1.tar${suffix[compression]}`, digest: add(data), size: data.length};
  });
  const rootfs = {type: 'layers', diff_ids: layers.map(({tar}) => sha256Of(tar))};
  const configData = Buffer.from(JSON.stringify({architecture, os: 'linux', ...(variant === undefined ? {} : {variant}), config, rootfs}));
  const mediaType = 'application/vnd.oci.image.config.v1+json';
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: {mediaType, digest: add(configData), size: configData.length},
      layers: descriptors,
    }),
  );
  add(manifest);
  return {blobs, manifest, configData};
}

const manifestType = 'application/vnd.oci.image.manifest.v1+json';

/** The files of an OCI layout. @param options.nested the manifests are in an index of their own, as of `docker buildx` */
export function ociFiles(images: readonly ImageParts[], {nested = false}: {readonly nested?: boolean} = {}): Map<string, Buffer> {
  const files = new Map<string, Buffer>([['oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}')]]);
  const manifests = images.map((image) => {
    const {blobs, manifest} = blobsOf(image);
    for (const [name, data] of blobs) files.set(name, data);
    const platform = {os: 'linux', architecture: image.architecture ?? ownArchitecture, ...(image.variant === undefined ? {} : {variant: image.variant})};
    const annotations = image.tag === undefined ? {} : {annotations: {'org.opencontainers.image.ref.name': image.tag}};
    return {mediaType: manifestType, digest: sha256Of(manifest), size: manifest.length, platform, ...annotations};
  });
  const index = Buffer.from(JSON.stringify({schemaVersion: 2, manifests}));
  if (!nested) return files.set('index.json', index);
  files.set(`blobs/${sha256Of(index).replace(':', '/')}`, index);
  const outer = {mediaType: 'application/vnd.oci.image.index.v1+json', digest: sha256Of(index), size: index.length};
  const statement = {mediaType: manifestType, digest: sha256Of(Buffer.from('no blob')), size: 1, platform: {os: 'unknown', architecture: 'unknown'}};
  return files.set('index.json', Buffer.from(JSON.stringify({schemaVersion: 2, manifests: [statement, outer]})));
}

/** As `docker save` did before it wrote OCI layouts too: the second image has a link to a layer of the first. */
export function dockerFiles(image: ImageParts): TarItem[] {
  const {configData} = blobsOf(image);
  const configName = `${sha256Of(configData).slice('sha256:'.length)}.json`;
  const layers = image.layers.map(({tar}, number): TarItem => ({name: `${number}/layer.tar`, content: tar}));
  const manifest = [{Config: configName, RepoTags: [image.tag ?? 'wiki:latest'], Layers: [...layers.map((_layer, number) => `linked-${number}/layer.tar`)]}];
  return [
    ...layers,
    ...layers.map(({name}, number): TarItem => ({name: `linked-${number}/layer.tar`, type: '2', link: `../${name}`})),
    {name: configName, content: configData},
    {name: 'manifest.json', content: JSON.stringify(manifest)},
  ];
}

export async function writeFiles(directory: string, files: ReadonlyMap<string, Buffer>): Promise<string> {
  for (const [name, data] of files) {
    await mkdir(dirname(join(directory, name)), {recursive: true});
    await writeFile(join(directory, name), data);
  }
  return directory;
}

export function archiveOf(files: ReadonlyMap<string, Buffer>): Buffer {
  return tarOf([...files].map(([name, content]) => ({name, content})));
}

/** A layer of the files of a directory. */
export async function layerOf(directory: string, file: string): Promise<Buffer> {
  const {readFile} = await import('node:fs/promises');
  await run(['tar', '-C', directory, '--numeric-owner', '--xattrs', '--xattrs-include=*', '-cf', file, '.'], {timeoutMs: 60_000});
  return readFile(file);
}
