/** CRIU itself dumps processes and restores them from what the checkpoint store made of the dumps: the proof of the formats. */
import {randomBytes} from 'node:crypto';
import {mkdir, readdir, readFile, rm, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {run, startDaemon} from '../../src/core/command.ts';
import {errorCode} from '../../src/core/errors.ts';
import {appName, fencingToken} from '../../src/core/ids.ts';
import {prctl, reap} from '../../src/core/libc.ts';
import {criuCommand} from '../../src/core/tools.ts';
import type {Checkpoint} from '../../src/pager/checkpoints/checkpoint.ts';
import {type CheckpointStore, openCheckpointStore} from '../../src/pager/checkpoints/checkpoint-store.ts';
import type {CommitResult} from '../../src/pager/checkpoints/commit.ts';
import {pagemapFlag, parsePagemap} from '../../src/pager/checkpoints/criu-image.ts';
import {pageSizeBytes} from '../../src/pager/checkpoints/page-table.ts';
import type {RestoreMode} from '../../src/pager/checkpoints/restore-images.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import {rootTest} from '../helpers/root-test.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {fileBytes, writeFuseFiles} from './fuse-files-on-disk.ts';

const app = appName('keeper');
const memoryBytes = 16 * 1024 * 1024;
const setChildSubreaper = 36;
const fixture = join(import.meta.dirname, '../fixtures/memory-keeper.pl');

interface Keeper {
  readonly directory: string;
  readonly store: CheckpointStore;
  readonly content: Buffer;
  /** Of the parent and the child. */
  readonly pids: readonly [number, number];
  /** Dumps and thereby ends the processes, and commits. */
  hibernate(parent: Checkpoint | null): Promise<CommitResult>;
  restore(checkpoint: Checkpoint, mode: RestoreMode): Promise<void>;
  /** Sends a signal to both and waits for their marks. */
  ask(signal: 'SIGUSR1' | 'SIGUSR2'): Promise<void>;
  memory(role: 'parent' | 'child'): Promise<Buffer>;
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function criu(directory: string, args: readonly string[]): Promise<void> {
  try {
    await run([...criuCommand(), ...args], {timeoutMs: 30_000});
  } catch (cause) {
    const log = (await readIfThere(join(directory, 'criu.log')))?.toString().split('\n').slice(-30).join('\n');
    throw new Error(`criu ${args[0] ?? ''} failed:\n${log ?? 'no log'}`, {cause});
  }
}

/** Starts the processes; whatever is left of them ends with the test. */
async function keeper(t: ExecutionContext): Promise<Keeper> {
  const temporary = await temporaryDirectory();
  t.teardown(async () => temporary[Symbol.asyncDispose]());
  const directory = temporary.path;
  const output = join(directory, 'out');
  const content = randomBytes(memoryBytes);
  await writeFile(join(directory, 'in'), content);
  prctl(setChildSubreaper, 1);
  await startDaemon(['perl', fixture, join(directory, 'in'), output], {stdio: 'ignore', dieWithParent: false});
  const pids: number[] = [];
  t.teardown(async () => {
    for (const pid of pids) await killOurs(pid);
    await Promise.all(pids.map(gone));
  });
  for (const role of ['parent', 'child']) {
    await until(async () => (await readIfThere(`${output}.${role}.ready`)) !== undefined, {what: `the ${role}`});
    pids.push(Number(await readFile(`${output}.${role}.ready`, 'utf8')));
  }
  const [parentPid = 0, childPid = 0] = pids;
  const store = openCheckpointStore({objects: await openDirectoryStore(join(directory, 'store'))});
  const asked = {SIGUSR1: 0, SIGUSR2: 0};
  let restores = 0;
  return {
    directory,
    store,
    content,
    pids: [parentPid, childPid],
    async hibernate(parent) {
      const dumpDir = join(directory, 'dump');
      await rm(dumpDir, {recursive: true, force: true});
      await mkdir(dumpDir);
      await criu(dumpDir, ['dump', '--tree', String(parentPid), '--images-dir', dumpDir, '--log-file', 'criu.log', '-v2']);
      // CRIU restores under the same numbers, which a zombie still holds.
      await Promise.all(pids.map(gone));
      return store.commit({app, token: fencingToken(1), dumpDir, parent, missing: new Map(), meta: null});
    },
    async restore(checkpoint, mode) {
      const images = join(directory, `images-${++restores}`);
      await writeFuseFiles(await checkpoint.images(mode), images);
      const args = ['--images-dir', images, '--log-file', 'criu.log', '-v2'];
      if (mode === 'eager') return criu(images, ['restore', '--restore-detached', ...args]);
      const server = [...criuCommand(), 'lazy-pages', ...args.with(3, 'lazy.log')] as const;
      const pages = await startDaemon(server, {stdio: 'ignore', cwd: images});
      t.teardown(async () => pages[Symbol.asyncDispose]());
      await until(async () => (await readdir(images)).includes('lazy-pages.socket'), {what: 'criu lazy-pages'});
      await criu(images, ['restore', '--restore-detached', '--lazy-pages', ...args]);
    },
    async ask(signal) {
      for (const pid of [parentPid, childPid]) process.kill(pid, signal);
      const count = ++asked[signal];
      const name = signal === 'SIGUSR1' ? 'dump' : 'change';
      for (const role of ['parent', 'child']) {
        await until(async () => (await readIfThere(`${output}.${role}.${name}.${count}`)) !== undefined, {what: `${role}'s ${name}`});
      }
    },
    async memory(role) {
      return readFile(`${output}.${role}.dump.${asked.SIGUSR1}`);
    },
  };
}

/** Waits for the end of a process and reaps it, if it is left to us as the nearest subreaper. */
async function gone(pid: number): Promise<void> {
  await until(
    async () => {
      reap(pid);
      return (await readIfThere(`/proc/${pid}/stat`)) === undefined;
    },
    {what: `the end of ${pid}`},
  );
}

/** The process ids may be another's once ours have ended. */
async function killOurs(pid: number): Promise<void> {
  const command = (await readIfThere(`/proc/${pid}/cmdline`))?.toString() ?? '';
  if (command.includes(fixture)) process.kill(pid, 'SIGKILL');
}

rootTest('a real process tree sleeps and wakes twice from synthesized images, eagerly and lazily', async (t) => {
  const k = await keeper(t);
  const first = await k.hibernate(null);
  t.true(first.newPages > memoryBytes / pageSizeBytes);
  const generation1 = await k.store.load(app, first.generation);
  await k.restore(generation1, 'eager');
  await k.ask('SIGUSR1');
  for (const role of ['parent', 'child'] as const) t.true(k.content.equals(await k.memory(role)), role);
  await k.ask('SIGUSR2');

  const second = await k.hibernate(generation1);
  t.true(second.unchangedPages > memoryBytes / pageSizeBytes, `${second.unchangedPages} unchanged`);
  t.true(second.newPages < 4000, `${second.newPages} new`);
  const generation2 = await k.store.load(app, second.generation);
  await k.restore(generation2, 'lazy');
  await k.ask('SIGUSR1');
  const changed = Buffer.from(k.content).fill('x', 1024 * 1024, 2 * 1024 * 1024);
  for (const role of ['parent', 'child'] as const) t.true(changed.equals(await k.memory(role)), role);
});

rootTest('images() in mode eager holds what CRIU dumped, but for zero pages', async (t) => {
  const k = await keeper(t);
  const {generation} = await k.hibernate(null);
  const files = await (await k.store.load(app, generation)).images('eager');
  for (const pid of k.pids) {
    const name = `pagemap-${pid}.img`;
    const dumped = parsePagemap(name, await readFile(join(k.directory, 'dump', name)));
    const made = parsePagemap(name, fileBytes(files, name));
    t.is(made.pagesId, dumped.pagesId);
    const expected = pagesOf(dumped, await readFile(join(k.directory, 'dump', `pages-${dumped.pagesId}.img`)));
    const found = pagesOf(made, fileBytes(files, `pages-${made.pagesId}.img`));
    let zeros = 0;
    for (const [page, {data, lazy}] of expected) {
      const same = found.get(page);
      if (same === undefined) zeros++;
      t.true(same === undefined ? lazy && data.every((byte) => byte === 0) : data.equals(same.data), `page ${page}`);
    }
    t.is(found.size, expected.size - zeros);
    t.true([...dumped.entries].some(({flags}) => flags === pagemapFlag.present) && [...dumped.entries].some(({flags}) => (flags & pagemapFlag.lazy) !== 0));
  }
});

function pagesOf(pagemap: ReturnType<typeof parsePagemap>, data: Buffer): ReadonlyMap<number, {data: Buffer; lazy: boolean}> {
  const pages = new Map<number, {data: Buffer; lazy: boolean}>();
  let at = 0;
  for (const {page, count, flags} of pagemap.entries) {
    for (let number = 0; number < count; number++, at += pageSizeBytes) {
      pages.set(page + number, {data: data.subarray(at, at + pageSizeBytes), lazy: (flags & pagemapFlag.lazy) !== 0});
    }
  }
  return pages;
}
