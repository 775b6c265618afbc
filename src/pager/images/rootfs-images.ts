/** Images as the roots of apps, in the pager: opened when the first app needs one, or when a killed pager has left mounts to be taken over. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {CodedError} from '../../core/errors.ts';
import type {Log} from '../../core/log.ts';
import type {ObjectStore} from '../../store/object-store.ts';
import {ImageMounts, type MountedImage} from './fuse-images.ts';

export interface RootfsImagesOptions {
  readonly runtimeDir: string;
  /** Of the pager. */
  readonly root: string;
  /** Undefined: no app has an image. */
  readonly settings: {readonly cacheDir: string; readonly cacheBytes: number} | undefined;
  readonly objects: ObjectStore;
  /** See the same of ImageMounts. */
  readonly needed?: (() => Promise<ReadonlySet<string>>) | undefined;
  readonly log: Log;
  readonly onBroken: (reason: string) => void;
}

export interface MountImageRequest {
  readonly app: string;
  readonly name: string;
  /** Of the generation that is to be restored; null: what the name means now. */
  readonly digest: string | null;
}

export interface RootfsImages extends AsyncDisposable {
  mount(request: MountImageRequest): Promise<MountedImage>;
}

/** Resolves when the mounts of a killed pager are served again. */
export async function openRootfsImages(options: RootfsImagesOptions): Promise<RootfsImages> {
  const {settings, runtimeDir, objects, needed, log} = options;
  const directory = join(options.root, 'rootfs');
  let opened: Promise<ImageMounts> | undefined;
  const open = (): Promise<ImageMounts> => {
    if (settings === undefined)
      throw new CodedError('ERR_NO_IMAGES', 'Cannot mount an image: the pager was started without a cache for images', {source: 'bug'});
    // CRIU looks up the mount of every mapped file. When the kernel reads the real file below us and overlayfs is above, a mapping shows a mount
    // that nobody can see, and the app could not be put to sleep. So contents that are local go through us once, into the page cache.
    opened ??= ImageMounts.open({...settings, passthrough: false, runtimeDir, directory, objects, needed, log, onBroken: options.onBroken});
    return opened;
  };
  if (settings !== undefined && existsSync(directory)) await open();
  return {
    async mount({app, name, digest}) {
      const mounts = await open().catch((error: unknown) => {
        opened = undefined;
        throw error;
      });
      return mounts.mount(app, digest === null ? {name} : {digest});
    },
    async [Symbol.asyncDispose]() {
      await (await opened?.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
}
