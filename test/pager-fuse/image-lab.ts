/** Images in a store of their own, mounted. */
import {mkdir, mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {run} from '../../src/core/command.ts';
import {createLog} from '../../src/core/log.ts';
import {ImageMounts} from '../../src/pager/images/fuse-images.ts';
import {type Imported, importImage} from '../../src/pager/images/rootfs-image-import.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import type {ObjectStore} from '../../src/store/object-store.ts';

export interface ImageLab {
  readonly directory: string;
  readonly objects: ObjectStore;
  /** Where the mounts are. */
  readonly mountsDir: string;
  importFrom(name: string, source: string): Promise<Imported>;
  open(options?: {
    readonly passthrough?: boolean;
    readonly cacheBytes?: number;
    readonly objects?: ObjectStore;
    readonly needed?: () => Promise<ReadonlySet<string>>;
  }): Promise<ImageMounts>;
}

export function mountsOptions(directory: string) {
  return {runtimeDir: join(directory, 'run'), directory: join(directory, 'run', 'rootfs'), cacheDir: join(directory, 'cache')};
}

export async function imageLab(t: ExecutionContext): Promise<ImageLab> {
  const directory = await mkdtemp(join(tmpdir(), 'picogate-images-'));
  await mkdir(join(directory, 'run'));
  const objects = await openDirectoryStore(join(directory, 'store'));
  const opened: ImageMounts[] = [];
  t.teardown(async () => {
    for (const mounts of opened) await mounts[Symbol.asyncDispose]();
    const {stdout} = await run(['cat', '/proc/mounts'], {timeoutMs: 5000});
    if (stdout.includes(directory)) throw new Error(`still mounted: ${stdout}`);
    await rm(directory, {recursive: true, force: true});
  });
  return {
    directory,
    objects,
    mountsDir: join(directory, 'run', 'rootfs'),
    importFrom: async (name, source) => importImage({objects, name, source, temporaryDir: directory}),
    async open(options = {}) {
      const mounts = await ImageMounts.open({
        ...mountsOptions(directory),
        cacheBytes: 1e9,
        objects,
        log: createLog('silent'),
        onBroken: (reason) => t.fail(reason),
        ...options,
      });
      opened.push(mounts);
      return mounts;
    },
  };
}

/** Content and metadata of every file below a directory, as text. */
export async function everything(directory: string): Promise<string> {
  const script = `cd "$1" || exit 1
find . ! -type d -printf '%P %y %m %U %G %T@ %l %n %s\\n' | sort
find . -type d -printf '%P %y %m %U %G %T@ %n\\n' | sort
find . \\( -type c -o -type b \\) -exec stat -c '%n %t %T' {} + | sort
getfattr -R -h -d -m - . 2>/dev/null
find . -type f -print0 | sort -z | xargs -0 -r sha256sum`;
  return (await run(['sh', '-c', script, 'sh', directory], {timeoutMs: 60_000})).stdout;
}

/** The store, slower, counted, and unreachable when told. */
export function slowStore(objects: ObjectStore, delayMs: number): ObjectStore & {gets: number; down: boolean} {
  const slow = {
    ...objects,
    gets: 0,
    down: false,
    async get(key: string, range?: {position: number; length: number}) {
      slow.gets += 1;
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      if (slow.down) throw new Error('the store is unreachable');
      return objects.get(key, range);
    },
  };
  return slow;
}
