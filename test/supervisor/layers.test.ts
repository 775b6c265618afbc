import * as fs from 'node:fs';
import {mkdir, mkdtemp, readdir, rm, stat, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {getAttribute, setAttribute} from '../../src/core/file-metadata.ts';
import {mkfifo, mknod, umount} from '../../src/core/libc.ts';
import {layerSize, mergeLayers, planMerge, removeLayer, removeUnfinishedLayers} from '../../src/supervisor/layers.ts';
import {mountOverlay} from '../../src/supervisor/overlay.ts';
import {fc} from '../helpers/properties.ts';

const rootTest = process.getuid?.() === 0 ? test.serial : test.skip;

interface Place {
  readonly rootfs: string;
  readonly layersDir: string;
  readonly mountPoint: string;
}

async function place(t: ExecutionContext): Promise<Place> {
  const path = await mkdtemp(join(tmpdir(), 'picogate-layers-'));
  const found = {rootfs: join(path, 'rootfs'), layersDir: join(path, 'layers'), mountPoint: join(path, 'mnt')};
  for (const directory of Object.values(found)) await mkdir(directory);
  t.teardown(() => rm(path, {recursive: true}));
  return found;
}

/** Runs `action` in the root as an app would see it over these layers. */
function mounted<Result>(at: Place, layers: readonly string[], newLayer: string, action: (root: string) => Result): Result {
  mountOverlay({rootfs: at.rootfs, layersDir: at.layersDir, layers, newLayer}, at.mountPoint);
  try {
    return action(at.mountPoint);
  } finally {
    umount(at.mountPoint, {detach: false});
  }
}

/** Everything that a program can see of a tree but inode numbers and link counts, one line per name. */
function view(root: string): string[] {
  const lines: string[] = [];
  const visit = (path: Buffer, name: string): void => {
    const status = fs.lstatSync(path, {bigint: true});
    const attribute = status.isSymbolicLink() ? undefined : getAttribute(path, 'user.test')?.toString();
    const content = status.isFile() ? fs.readFileSync(path, 'latin1') : status.isSymbolicLink() ? fs.readlinkSync(path) : '';
    lines.push(
      [name, status.mode.toString(8), status.uid, status.gid, status.rdev, status.isDirectory() ? '' : status.size, status.mtimeNs, attribute, content].join(
        ' ',
      ),
    );
    if (!status.isDirectory()) return;
    for (const entry of fs.readdirSync(path, {encoding: 'buffer'}).sort((one, other) => one.compare(other))) {
      visit(Buffer.concat([path, Buffer.from('/'), entry]), `${name}/${entry.toString('latin1')}`);
    }
  };
  visit(Buffer.from(root), '');
  // The root of the view is the upper directory of the view's own layer.
  return lines.slice(1);
}

async function viewOf(at: Place, layers: readonly string[]): Promise<string[]> {
  try {
    return mounted(at, layers, 'view', view);
  } finally {
    await removeLayer(at.layersDir, 'view');
  }
}

const paths = fc.array(fc.constantFrom('a', 'b', 'c'), {minLength: 1, maxLength: 3}).map((names) => names.join('/'));

const operation = fc.oneof(
  fc.record({kind: fc.constant('write' as const), path: paths, text: fc.string({maxLength: 5})}),
  fc.record({kind: fc.constant('append' as const), path: paths, text: fc.string({maxLength: 5})}),
  fc.record({kind: fc.constant('recreate' as const), path: paths}),
  fc.record({kind: fc.constantFrom('mkdir' as const, 'remove' as const, 'remove' as const, 'fifo' as const, 'attribute' as const), path: paths}),
  fc.record({kind: fc.constantFrom('rename' as const, 'link' as const, 'symlink' as const), path: paths, to: paths}),
  fc.record({kind: fc.constant('chmod' as const), path: paths, mode: fc.constantFrom(0o600, 0o755, 0o2775, 0o1777, 0o4711)}),
  fc.record({kind: fc.constant('chown' as const), path: paths, owner: fc.nat(2000)}),
);
type Operation = typeof operation extends fc.Arbitrary<infer Value> ? Value : never;

function apply(root: string, one: Operation): void {
  const path = join(root, one.path);
  switch (one.kind) {
    case 'write':
      fs.writeFileSync(path, one.text);
      return;
    case 'append':
      fs.appendFileSync(path, one.text);
      return;
    case 'mkdir':
      fs.mkdirSync(path);
      return;
    case 'remove':
      fs.rmSync(path, {recursive: true});
      return;
    case 'recreate':
      fs.rmSync(path, {recursive: true, force: true});
      fs.mkdirSync(path);
      return;
    case 'fifo':
      mkfifo(path, 0o640);
      return;
    case 'attribute':
      setAttribute(Buffer.from(path), 'user.test', Buffer.from(one.path));
      return;
    case 'rename':
      fs.renameSync(path, join(root, one.to));
      return;
    case 'link':
      fs.linkSync(path, join(root, one.to));
      return;
    case 'symlink':
      fs.symlinkSync(one.to, path);
      return;
    case 'chmod':
      fs.chmodSync(path, one.mode);
      return;
    case 'chown':
      fs.lchownSync(path, one.owner, one.owner + 1);
      return;
    default:
      one satisfies never;
  }
}

/** What an app does; what cannot be done (a name that is missing, or of the wrong type) is left out. FIFOs are never opened. */
function tryApply(root: string, one: Operation): void {
  const opens = one.kind === 'write' || one.kind === 'append';
  try {
    if (opens && fs.statSync(join(root, one.path), {throwIfNoEntry: false})?.isFIFO() === true) return;
    apply(root, one);
  } catch {
    // Random operations often do not fit the tree.
  }
}

function fillRootfs(root: string): void {
  for (const path of ['a/a', 'a/b/a', 'a/b/c', 'b/a', 'b/b', 'c']) {
    fs.mkdirSync(join(root, path, '..'), {recursive: true});
    fs.writeFileSync(join(root, path), path);
  }
  fs.mkdirSync(join(root, 'a/c/a'), {recursive: true});
  fs.symlinkSync('a/b', join(root, 'b/c'));
}

rootTest('mergeLayers() shows what the unmerged layers show, for any operations', async (t) => {
  const at = await place(t);
  fillRootfs(at.rootfs);
  const layersOfOperations = fc.array(fc.array(operation, {maxLength: 12}), {minLength: 2, maxLength: 5});
  let number = 0;
  await fc.assert(
    fc.asyncProperty(layersOfOperations, fc.array(fc.nat(100), {minLength: 4, maxLength: 4}), async (operations, choices) => {
      const made: string[] = [];
      let layers: string[] = [];
      const newName = (): string => {
        const name = `l${number++}`;
        made.push(name);
        return name;
      };
      for (const some of operations) {
        const name = newName();
        mounted(at, layers, name, (root) => {
          for (const one of some) tryApply(root, one);
        });
        layers.push(name);
      }
      const expected = await viewOf(at, layers);
      for (const choice of choices) {
        if (layers.length < 2) break;
        const index = choice % (layers.length - 1);
        const [older = '', newer = ''] = layers.slice(index, index + 2);
        const merged = newName();
        await mergeLayers({layersDir: at.layersDir, older, newer, merged});
        layers = layers.toSpliced(index, 2, merged);
        const found = await viewOf(at, layers);
        if (found.join('\n') !== expected.join('\n')) throw new Error(`Expected\n${expected.join('\n')}\nfound\n${found.join('\n')}`);
      }
      for (const name of made) await removeLayer(at.layersDir, name);
    }),
    {numRuns: 100},
  );
  t.deepEqual(await readdir(at.layersDir), []);
});

async function layer(at: Place, name: string): Promise<string> {
  const upper = join(at.layersDir, name, 'upper');
  await mkdir(upper, {recursive: true});
  return upper;
}

rootTest('mergeLayers() links files, keeps whiteouts and special files, and leaves the originals as they are', async (t) => {
  const at = await place(t);
  const older = await layer(at, 'older');
  const newer = await layer(at, 'newer');
  await writeFile(join(older, 'one'), '1');
  fs.linkSync(join(older, 'one'), join(older, 'same'));
  await writeFile(join(older, 'gone'), 'x');
  mkfifo(join(older, 'pipe'), 0o600);
  const strange = Buffer.concat([Buffer.from(`${older}/`), Buffer.from([0xff, 0xfe])]);
  fs.mkdirSync(strange);
  mknod(Buffer.concat([strange, Buffer.from([0x2f, 0xfd])]), 0o020000, 0, 0);
  mknod(join(newer, 'gone'), 0o020000, 0, 0);
  fs.symlinkSync('dangling', join(newer, 'link'));
  const before = [view(older), view(newer)];
  await mergeLayers({layersDir: at.layersDir, older: 'older', newer: 'newer', merged: 'both'});
  const both = join(at.layersDir, 'both', 'upper');
  t.deepEqual(fs.readdirSync(both, 'latin1').sort(), ['gone', 'link', 'one', 'pipe', 'same', 'ÿþ']);
  t.is((await stat(join(both, 'one'))).ino, (await stat(join(older, 'one'))).ino);
  t.is((await stat(join(both, 'same'))).ino, (await stat(join(both, 'one'))).ino);
  t.true((await stat(join(both, 'gone'))).isCharacterDevice());
  t.true((await stat(join(both, 'pipe'))).isFIFO());
  t.is(fs.readlinkSync(join(both, 'link')), 'dangling');
  t.is(await layerSize(both), 7);
  t.deepEqual([view(older), view(newer)], before);
});

rootTest('mergeLayers() drops whiteouts that nothing needs any more', async (t) => {
  const at = await place(t);
  await writeFile(join(at.rootfs, 'f'), 'deep');
  await mkdir(join(at.rootfs, 'd', 'x'), {recursive: true});
  mounted(at, [], 'l1', (root) => {
    fs.rmSync(join(root, 'd'), {recursive: true});
    fs.mkdirSync(join(root, 'd'));
    fs.writeFileSync(join(root, 'd', 'x'), '');
  });
  mounted(at, ['l1'], 'l2', (root) => {
    fs.rmSync(join(root, 'd', 'x'));
    fs.rmSync(join(root, 'f'));
  });
  await mergeLayers({layersDir: at.layersDir, older: 'l1', newer: 'l2', merged: 'l12'});
  t.deepEqual(fs.readdirSync(join(at.layersDir, 'l12', 'upper'), {recursive: true}).sort(), ['d', 'f']);
  t.deepEqual(
    (await viewOf(at, ['l12'])).map((line) => line.split(' ')[0]),
    ['/d'],
  );
});

rootTest('mergeLayers() leaves nothing behind when it is aborted, fails or has been killed', async (t) => {
  const at = await place(t);
  const older = await layer(at, 'older');
  const newer = await layer(at, 'newer');
  await mkdir(join(older, 'd'));
  const options = {layersDir: at.layersDir, older: 'older', newer: 'newer', merged: 'both'};
  await t.throwsAsync(mergeLayers({...options, signal: AbortSignal.abort()}), {name: 'AbortError'});
  setAttribute(Buffer.from(join(older, 'd')), 'trusted.overlay.redirect', Buffer.from('/elsewhere'));
  await t.throwsAsync(mergeLayers(options), {code: 'ERR_LAYER'});
  await rm(join(older, 'd'), {recursive: true});
  await t.throwsAsync(mergeLayers({...options, older: 'missing'}), {code: 'ERR_LAYER'});
  t.deepEqual((await readdir(at.layersDir)).sort(), ['newer', 'older']);
  await writeFile(join(newer, 'f'), '');
  await mkdir(join(at.layersDir, '.unfinished-both', 'upper', 'half'), {recursive: true});
  await mergeLayers(options);
  t.deepEqual(await readdir(join(at.layersDir, 'both', 'upper')), ['f']);
  await t.throwsAsync(mergeLayers(options), {code: 'ERR_LAYER', message: /exists/});
  await mkdir(join(at.layersDir, '.unfinished-removed-x', 'upper'), {recursive: true});
  await removeUnfinishedLayers(at.layersDir);
  t.deepEqual((await readdir(at.layersDir)).sort(), ['both', 'newer', 'older']);
});

rootTest('removeLayer() removes all of a layer, and does nothing when there is none', async (t) => {
  const at = await place(t);
  const upper = await layer(at, 'l');
  mknod(join(upper, 'gone'), 0o020000, 0, 0);
  await removeLayer(at.layersDir, 'l');
  await removeLayer(at.layersDir, 'l');
  t.deepEqual(await readdir(at.layersDir), []);
});

test('planMerge() does nothing up to 16 layers', (t) => {
  t.is(planMerge([]), undefined);
  t.is(planMerge(Array.from({length: 16}, () => 1)), undefined);
});

test('planMerge() keeps at most 16 layers at a logarithmic cost', (t) => {
  let sizes = [10_000];
  let cost = 0;
  for (let count = 0; count < 2000; count++) {
    sizes.push(1);
    for (let plan = planMerge(sizes); plan !== undefined; plan = planMerge(sizes)) {
      const size = (sizes[plan.older] ?? 0) + (sizes[plan.newer] ?? 0);
      cost += size;
      sizes = sizes.toSpliced(plan.older, 2, size);
    }
  }
  t.is(sizes.length, 16);
  t.is(sizes[0], 10_000);
  t.true(cost / 2000 < 10, `each name was linked ${cost / 2000} times`);
});

test('planMerge() names two adjacent layers for any sizes', (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat(), {minLength: 17, maxLength: 40}), (sizes) => {
      const plan = planMerge(sizes);
      return plan !== undefined && plan.older >= 0 && plan.newer === plan.older + 1 && plan.newer < sizes.length;
    }),
  );
  t.pass();
});
