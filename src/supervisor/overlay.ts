/**
 * An app's root: overlayfs of the configured root file system, the frozen layers of earlier generations and one new
 * layer that takes what is written. Layers live in one directory, each as `<layer>/upper` and `<layer>/work`.
 */
import {mkdirSync, readdirSync} from 'node:fs';
import {join} from 'node:path';
import {CodedError, errorMessage} from '../core/errors.ts';
import {mount, mountFlag} from '../core/libc.ts';

export interface OverlayPlan {
  readonly rootfs: string;
  /** The directory of all layers of the app. */
  readonly layersDir: string;
  /** Frozen layers, the oldest first. */
  readonly layers: readonly string[];
  readonly newLayer: string;
}

/** mount(2) copies one page of options, with a zero at the end. */
const optionBytesMax = 4095;

/** Options for a mount made with the layers' directory as working directory: relative paths leave room for hundreds of layers. */
export function overlayOptions(plan: OverlayPlan): string {
  const lower = [...plan.layers.map((layer) => `${escaped(layer)}/upper`).reverse(), escaped(plan.rootfs)].join(':');
  const newLayer = escaped(plan.newLayer);
  // Without redirects and metadata-only copies a layer means the same when it is merged with its neighbour or moved.
  const options = `lowerdir=${lower},upperdir=${newLayer}/upper,workdir=${newLayer}/work,index=off,redirect_dir=off,metacopy=off`;
  if (Buffer.byteLength(options) > optionBytesMax) {
    throw new CodedError('ERR_TOO_MANY_LAYERS', `Cannot mount ${plan.layers.length} layers over "${plan.rootfs}": their names exceed ${optionBytesMax} bytes`, {
      source: 'bug',
    });
  }
  return options;
}

function escaped(path: string): string {
  return path.replace(/[\\:,]/g, (character) => `\\${character}`);
}

/** Mounts the root of an app. The new layer's directories are made; they must hold nothing yet. @throws CodedError ERR_LAYER, ERR_MOUNT */
export function mountOverlay(plan: OverlayPlan, target: string): void {
  const options = overlayOptions(plan);
  const upper = join(plan.layersDir, plan.newLayer, 'upper');
  try {
    mkdirSync(upper, {recursive: true, mode: 0o755});
    mkdirSync(join(plan.layersDir, plan.newLayer, 'work'), {recursive: true, mode: 0o700});
  } catch (error) {
    throw new CodedError('ERR_LAYER', `Cannot create layer "${plan.newLayer}": ${errorMessage(error)}`, {source: 'host', cause: error});
  }
  if (readdirSync(upper).length > 0) {
    throw new CodedError('ERR_LAYER', `Cannot use "${upper}" as a new layer: it has files already`, {source: 'bug'});
  }
  const back = workingDirectory();
  process.chdir(plan.layersDir);
  try {
    mount({source: 'overlay', target, type: 'overlay', flags: mountFlag.noDev | mountFlag.noSuid, data: options});
  } catch (error) {
    throw new CodedError('ERR_MOUNT', `Cannot mount "${plan.rootfs}" with ${plan.layers.length} layers: ${errorMessage(error)}`, {
      source: 'host',
      cause: error,
    });
  } finally {
    process.chdir(back);
  }
}

function workingDirectory(): string {
  try {
    return process.cwd();
  } catch {
    return '/'; // It was removed under us; nothing of ours depends on it.
  }
}
