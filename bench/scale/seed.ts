/**
 * The state of a gateway whose apps have all slept, without running each: one app is run and put to sleep, and what the pager committed of it
 * is copied under the names of the others, each with the address that it has. Every copy can be woken.
 */
import {cp, link, mkdir, readdir, readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {appName} from '../../src/core/ids.ts';
import {appAddress, type Range} from '../../src/nat/ipv4.ts';
import {keysOf, numberInKey} from '../../src/pager/checkpoints/checkpoint-keys.ts';
import {type Manifest, parseManifest, renderManifest} from '../../src/pager/checkpoints/manifest.ts';
import {appAt} from './scale-apps.ts';

/** @param stateDir of a gateway that has stopped, with a checkpoint of its first app, without encryption */
export async function copyCheckpoint(stateDir: string, count: number): Promise<void> {
  const original = appName(appAt(0));
  const store = join(stateDir, 'store');
  const manifests = join(store, keysOf(original).manifests);
  const newest = (await readdir(manifests)).sort().at(-1);
  const generation = newest === undefined ? undefined : numberInKey(`/${newest}`);
  if (newest === undefined || generation === undefined) throw new Error(`${original} has no checkpoint`);
  const object = join(manifests, newest);
  const manifest = parseManifest(await readFile(object), {object, app: original, generation});
  const range = await rangeOf(stateDir);
  for (let index = 1; index < count; index++) await copyOne({stateDir, store, manifest, range}, index);
}

interface Source {
  readonly stateDir: string;
  readonly store: string;
  readonly manifest: Manifest;
  readonly range: Range;
}

async function copyOne({stateDir, store, manifest, range}: Source, index: number): Promise<void> {
  const [from, to] = [keysOf(manifest.app), keysOf(appName(appAt(index)))];
  for (const directory of ['segments', 'images'] as const) {
    await mkdir(join(store, to[directory]), {recursive: true, mode: 0o700});
    // Objects never change.
    for (const name of await readdir(join(store, from[directory]))) await link(join(store, from[directory], name), join(store, to[directory], name));
  }
  const {meta} = manifest;
  if (typeof meta !== 'object' || meta === null) throw new Error('the checkpoint says nothing of layers and connections');
  const network = {address: appAddress(range, index), range: `${range.address}/${range.prefixLength}`};
  const copy: Manifest = {
    ...manifest,
    app: appName(appAt(index)),
    bundle: {...manifest.bundle, key: to.image(manifest.generation, manifest.token)},
    meta: {...meta, network},
  };
  await mkdir(join(store, to.manifests), {recursive: true, mode: 0o700});
  await writeFile(join(store, to.manifest(manifest.generation)), renderManifest(copy));
  const layers = (app: string): string => join(stateDir, 'apps', app, 'layers');
  await cp(layers(appAt(0)), layers(appAt(index)), {recursive: true});
}

async function rangeOf(stateDir: string): Promise<Range> {
  const [address, prefixLength] = (await readFile(join(stateDir, 'private-range'), 'utf8')).trim().split('/');
  if (address === undefined || prefixLength === undefined) throw new Error(`${stateDir} has no private range`);
  return {address, prefixLength: Number(prefixLength)};
}
