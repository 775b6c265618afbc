/**
 * The part of a prepared restore that has the app's root: it is mounted, and CRIU has made the app's namespaces and its first process in it. Of a wake that
 * is a third, and what differs most from one time to the next.
 */
import {statSync} from 'node:fs';
import {readdir, stat} from 'node:fs/promises';
import {join} from 'node:path';
import type {AppConfig} from '../config/value.ts';
import {CodedError} from '../core/errors.ts';
import {faultPoint} from '../core/fault-point.ts';
import {canLendCalls} from '../core/ptrace.ts';
import {savedClocks} from './app-clock.ts';
import type {BegunRestore} from './begun-restore.ts';
import type {Container} from './container.ts';
import {rootImageOf} from './image-settings.ts';
import type {GenerationMeta, InstanceTools} from './instance.ts';
import {removeLayer} from './layers.ts';
import type {Clocks} from './timers/core-image.ts';

/** CRIU fills file systems in memory with the namespaces, and shared memory of System V, of which the images do not tell the size; a sleeping app holds no memory. */
const sharedMemoryImage = /^ipcns-shm-/;
const memoryImages = /^(?:tmpfs|ipcns)-/;
const memoryBytesMax = 64 * 1024;

export interface Inside {
  /** @throws CodedError ERR_RESTORE when something else is now where the app's directories were */
  check(): void;
}

interface Begun {
  readonly begun: BegunRestore;
  readonly meta: GenerationMeta;
  readonly imagesDir: string;
  /** Of the instance's layer. */
  readonly name: string;
}

/**
 * @param undo gets what has to be done when CRIU has ended
 * @returns null where that is not possible, and nothing was done. @throws CodedError
 */
export async function goInside(tools: InstanceTools, {begun, meta, imagesDir, name}: Begun, undo: AsyncDisposableStack): Promise<Inside | null> {
  const {config, container} = tools;
  const clocks = await clocksToStart(tools, meta, imagesDir);
  if (clocks === null) return null;
  await container.mountRoot(meta.layers, name, rootImageOf(meta));
  // Only now: a root that could not be mounted, since one is, is not ours to take away.
  undo.defer(async () => {
    await container.unmountRoot();
    if ((await container.freezeLayer(name)) === 'empty') await removeLayer(container.layersDir, name);
  });
  const places = (): string => identities(config, container, [...meta.layers, name]);
  const mounted = places();
  faultPoint('supervisor:standby:mounted');
  await begun.makeNamespaces(clocks);
  faultPoint('supervisor:standby:inside');
  return {
    check() {
      if (places() !== mounted) {
        throw new CodedError('ERR_RESTORE', `The directories of app "${config.name}" were replaced while it slept`, {source: 'host', retryable: true});
      }
    },
  };
}

/** Null: CRIU must not go that far yet. An app's timers are put forward in images that it would read too early. */
async function clocksToStart({container, network}: InstanceTools, meta: GenerationMeta, imagesDir: string): Promise<Clocks | null> {
  if (!canLendCalls || meta.timers !== undefined || container.missingLayers(meta.layers).length > 0) return null;
  if (meta.network !== undefined && meta.network.address !== network.address) return null;
  const images = await readdir(imagesDir);
  if (images.some((image) => sharedMemoryImage.test(image))) return null;
  const sizes = await Promise.all(images.filter((image) => memoryImages.test(image)).map(async (image) => (await stat(join(imagesDir, image))).size));
  if (sizes.reduce((sum, size) => sum + size, 0) > memoryBytesMax) return null;
  return savedClocks(imagesDir);
}

/** Of all that is mounted. */
function identities({root, volumes}: AppConfig, {layersDir}: Container, layers: readonly string[]): string {
  const outside = [...(root.kind === 'directory' ? [root.path] : []), ...volumes.map(({source}) => source)];
  return [...outside, ...layers.map((layer) => join(layersDir, layer, 'upper'))]
    .map((path) => statSync(path, {throwIfNoEntry: false}))
    .map((found) => `${found?.dev}:${found?.ino}`)
    .join(' ');
}
