/** Layers of files as objects: every kind of name, and every kind of damage. */
import {createHash} from 'node:crypto';
import * as fs from 'node:fs';
import {mkdir, rm} from 'node:fs/promises';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {attributeNames, getAttribute, setAttribute, setTimes} from '../../src/core/file-metadata.ts';
import {mkfifo, mknod} from '../../src/core/libc.ts';
import {DamagedCheckpointError} from '../../src/pager/checkpoints/damage.ts';
import {LayerReader, layerBody} from '../../src/pager/checkpoints/layer-object.ts';
import {scanLayer} from '../../src/pager/checkpoints/layer-scan.ts';
import {unpackLayer} from '../../src/pager/checkpoints/layer-unpack.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const rootTest = process.getuid?.() === 0 ? test : test.skip;
const name = {app: 'a', layer: '1-a', key: 'apps/a/layers/1-a'};
const dataKey = Buffer.alloc(32, 7);
const holeBytes = 1 << 30;

/** One of everything that can lie in a layer. */
function fill(upper: string): void {
  const at = (path: string): string => join(upper, path);
  fs.mkdirSync(upper, {mode: 0o755});
  fs.mkdirSync(at('etc'), {mode: 0o2775});
  fs.writeFileSync(at('etc/plain'), 'content');
  fs.linkSync(at('etc/plain'), at('second-name'));
  fs.writeFileSync(Buffer.concat([Buffer.from(at('not-utf8-')), Buffer.from([0xff, 0xfe])]), '');
  fs.writeFileSync(at('big'), Buffer.alloc(3 * 1024 * 1024 + 5, 'the same again '));
  fs.writeFileSync(at('noise'), Buffer.from(Array.from({length: 300_000}, (_, index) => (index * 7919 * ((index >> 8) + 1)) & 255)));
  fs.writeFileSync(at('setuid'), '#!');
  fs.chownSync(at('setuid'), 1000, 1001);
  fs.chmodSync(at('setuid'), 0o4755);
  fs.writeFileSync(at('sparse'), '');
  const sparse = fs.openSync(at('sparse'), 'r+');
  fs.writeSync(sparse, 'in the middle', holeBytes / 2);
  fs.ftruncateSync(sparse, holeBytes);
  fs.closeSync(sparse);
  fs.symlinkSync('etc/plain', at('link'));
  fs.lchownSync(at('link'), 12, 13);
  mknod(at('whiteout'), fs.constants.S_IFCHR, 0, 0);
  fs.linkSync(at('whiteout'), at('whiteout-too'));
  mknod(at('device'), fs.constants.S_IFBLK | 0o640, 259, 70_000);
  mknod(at('socket'), 0o140000 | 0o777, 0, 0);
  mkfifo(at('pipe'), 0o600);
  fs.mkdirSync(at('opaque'));
  setAttribute(Buffer.from(at('opaque')), 'trusted.overlay.opaque', Buffer.from('y'));
  setAttribute(Buffer.from(at('etc/plain')), 'user.note', Buffer.from([0, 255, 10]));
  setAttribute(Buffer.from(at('setuid')), 'security.capability', Buffer.from('0100000200040000000000000000000000000000', 'hex'));
  const acl = Buffer.from('0200000001000700ffffffff02000600e903000004000500ffffffff10000700ffffffff20000500ffffffff', 'hex');
  setAttribute(Buffer.from(at('etc')), 'system.posix_acl_default', acl);
  setAttribute(Buffer.from(at('setuid')), 'system.posix_acl_access', acl);
  for (const path of ['etc/plain', 'link', 'opaque', 'etc', '.']) {
    setTimes(Buffer.from(at(path)), {accessedNs: 1_600_000_000_123_456_789n, modifiedNs: -1_000_000_001n});
  }
}

/** All that can be seen of a tree; names of one file share a number. */
function view(root: string): string[] {
  const lines: string[] = [];
  const inodes = new Map<bigint, number>();
  const visit = (path: Buffer, shown: string): void => {
    const status = fs.lstatSync(path, {bigint: true});
    const isWhiteout = status.isCharacterDevice() && status.rdev === 0n;
    if (!inodes.has(status.ino)) inodes.set(status.ino, inodes.size);
    const attributes = attributeNames(path)
      .sort()
      .map((attribute) => `${attribute}=${getAttribute(path, attribute)?.toString('hex')}`);
    const {mode, uid, gid, rdev, size, mtimeNs} = status;
    const text = status.isSymbolicLink()
      ? fs.readlinkSync(path)
      : status.isFile() && size < holeBytes
        ? createHash('sha256').update(fs.readFileSync(path)).digest('hex')
        : '';
    const linked = isWhiteout || status.isDirectory() ? '' : `${inodes.get(status.ino)}/${status.nlink}`;
    const times = isWhiteout ? '' : mtimeNs;
    lines.push([shown, mode.toString(8), uid, gid, rdev, status.isDirectory() ? '' : size, times, linked, attributes, text].join(' '));
    if (!status.isDirectory()) return;
    for (const entry of fs.readdirSync(path, {encoding: 'buffer'}).sort((one, other) => one.compare(other))) {
      visit(Buffer.concat([path, Buffer.from('/'), entry]), `${shown}/${entry.toString('latin1')}`);
    }
  };
  visit(Buffer.from(root), '');
  return lines;
}

async function packed(upper: string, key?: Uint8Array): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of layerBody(name, scanLayer(upper), key)) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

async function* inPieces(object: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < object.length; at += 70_000) yield await Promise.resolve(object.subarray(at, at + 70_000));
}

async function unpack(object: Buffer, upper: string): Promise<void> {
  await using reader = new LayerReader({name, pieces: inPieces(object), dataKey: () => Promise.resolve(dataKey)});
  await unpackLayer(reader, upper);
  await reader.end();
}

async function layer(t: ExecutionContext): Promise<{directory: string; upper: string}> {
  const {path: directory} = await temporaryDirectory();
  t.teardown(() => rm(directory, {recursive: true, force: true}));
  const upper = join(directory, 'upper');
  fill(upper);
  return {directory, upper};
}

for (const [kind, key] of [
  ['in the clear', undefined],
  ['sealed', dataKey],
] as const) {
  rootTest(`a layer comes back ${kind} as it was: whiteouts, attributes, links, holes, owners, times`, async (t) => {
    const {directory, upper} = await layer(t);
    const before = view(upper);
    const object = await packed(upper, key);
    t.true(object.length < 1024 * 1024, `${object.length} bytes`);
    if (key !== undefined) t.false(object.includes('not-utf8'));
    await unpack(object, join(directory, 'again'));
    // Looking at it changes it.
    const [accessed, accessedAgain] = ['upper', 'again'].map((tree) => fs.lstatSync(join(directory, tree, 'etc'), {bigint: true}).atimeNs);
    t.is(accessedAgain, accessed);
    t.deepEqual(view(join(directory, 'again')), before);
    const sparse = fs.statSync(join(directory, 'again', 'sparse'));
    t.true(sparse.size === holeBytes && sparse.blocks * 512 < 1024 * 1024);
    const content = Buffer.alloc(13);
    const file = fs.openSync(join(directory, 'again', 'sparse'), 'r');
    fs.readSync(file, content, 0, 13, holeBytes / 2);
    fs.closeSync(file);
    t.is(content.toString(), 'in the middle');
  });
}

rootTest('what names an inode of this host stays here', async (t) => {
  const {directory, upper} = await layer(t);
  setAttribute(Buffer.from(join(upper, 'big')), 'trusted.overlay.origin', Buffer.from('handle'));
  await unpack(await packed(upper), join(directory, 'again'));
  t.is(getAttribute(Buffer.from(join(directory, 'again', 'big')), 'trusted.overlay.origin'), undefined);
});

rootTest('any damage of a layer is found, and told with object and offset', async (t) => {
  const {directory, upper} = await layer(t);
  const object = await packed(upper, dataKey);
  const attempt = async (damaged: Buffer): Promise<void> => {
    const target = join(directory, 'damaged');
    const error = await t.throwsAsync(unpack(damaged, target), {instanceOf: DamagedCheckpointError});
    t.is(error.object, name.key);
    t.true(error.offset >= 0);
    await rm(target, {recursive: true, force: true});
  };
  for (let at = 0; at < object.length; at += 1 + Math.floor(object.length / 60)) {
    const damaged = Buffer.from(object);
    damaged[at] = (damaged[at] ?? 0) ^ 0x10;
    await attempt(damaged);
  }
  for (const end of [0, 10, 30, 200, Math.floor(object.length / 2), object.length - 1]) await attempt(object.subarray(0, end));
  await attempt(Buffer.concat([object, Buffer.from('x')]));
});

rootTest('a layer of another app, or an other one of this app, is not taken', async (t) => {
  const {directory, upper} = await layer(t);
  const object = await packed(upper);
  const other = {...name, layer: '2-b'};
  await mkdir(join(directory, 'other'));
  await using reader = new LayerReader({name: other, pieces: inPieces(object), dataKey: () => Promise.resolve(dataKey)});
  await t.throwsAsync(unpackLayer(reader, join(directory, 'other', 'upper')), {message: /it is layer "1-a" of app "a"/});
});
