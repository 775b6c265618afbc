import {constants} from 'node:fs';
import {access, chmod, chown, lchown, link, mkdir, open, readdir, readFile, stat, symlink, utimes, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {type Daemon, run, startDaemon} from '../../src/core/command.ts';
import {setAttribute} from '../../src/core/file-metadata.ts';
import {mkfifo, mknod} from '../../src/core/libc.ts';
import {findKeepers} from '../../src/pager/faults/parking.ts';
import {parseImage} from '../../src/pager/images/rootfs-image-object.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {until} from '../helpers/until.ts';
import {everything, type ImageLab, imageLab, slowStore} from './image-lab.ts';

const rootTest = process.getuid?.() === 0 ? test.serial : test.skip;
const mebibyte = 1024 * 1024;

function noise(length: number, seed: number): Buffer {
  const out = Buffer.alloc(length);
  let state = seed + 1;
  for (let at = 0; at + 4 <= length; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    out.writeInt32LE(state, at);
  }
  return out;
}

/** Digests of files, read by another process: threads of ours that wait for content would be missing where it is fetched. */
async function sums(directory: string, names = '*', readers = 8): Promise<string> {
  const script = `cd "$1" && ls -d ${names} | xargs -P ${readers} -n 4 sha256sum | sort -k 2`;
  return (await run(['sh', '-c', script, 'sh', directory], {timeoutMs: 60_000})).stdout;
}

/** A directory with one of everything. */
async function oddFiles(lab: ImageLab): Promise<string> {
  const root = join(lab.directory, 'odd');
  await mkdir(join(root, 'dir', 'deep'), {recursive: true});
  await writeFile(join(root, 'empty'), '');
  await writeFile(join(root, 'small'), 'small\n');
  await writeFile(join(root, 'large'), noise(3 * mebibyte + 17, 1));
  await link(join(root, 'large'), join(root, 'dir', 'the same'));
  await symlink('../small', join(root, 'dir', 'link'));
  await lchown(join(root, 'dir', 'link'), 7, 8);
  await writeFile(Buffer.concat([Buffer.from(`${root}/not-utf8-`), Buffer.from([0xff, 0xe9])]), 'latin');
  await writeFile(join(root, 'setuid'), '#!/bin/sh\n');
  await chown(join(root, 'setuid'), 1000, 1001);
  await chmod(join(root, 'setuid'), 0o4755);
  await chmod(join(root, 'dir', 'deep'), 0o1777);
  await utimes(join(root, 'small'), 1_000_000_000.5, 1_000_000_000.25);
  setAttribute(Buffer.from(join(root, 'small')), 'user.colour', Buffer.from('blue'));
  setAttribute(Buffer.from(join(root, 'dir')), 'trusted.overlay.opaque', Buffer.from('y'));
  mkfifo(join(root, 'fifo'), 0o622);
  mknod(join(root, 'device'), 0o020666, 1, 3);
  mknod(join(root, 'big-device'), 0o060600, 259, 70_000);
  return root;
}

for (const passthrough of [true, false]) {
  rootTest(`a mounted Debian root is the one that was imported (${passthrough ? 'passed through' : 'read by us'}), twice`, async (t) => {
    t.timeout(100_000);
    const lab = await imageLab(t);
    const source = await rootfsWith('dnsmasq-base');
    const {digest} = await lab.importFrom('debian', source);
    const mounts = await lab.open({passthrough});
    const {path} = await mounts.mount('app', {name: 'debian'});
    const expected = await everything(source);
    t.is(await everything(path), expected);
    const before = await mounts.counts(digest);
    t.is(await everything(path), expected);
    const after = await mounts.counts(digest);
    // All is local now: the kernel reads the files itself, or has them in its cache, of which it may have dropped some.
    const again = (after['read'] ?? 0) - (before['read'] ?? 0);
    t.true(again <= (passthrough ? 0 : (before['read'] ?? 0) / 2), `${again} reads after ${before['read']}`);
  });
}

rootTest('files of every kind keep their metadata, attributes, links and numbers', async (t) => {
  const lab = await imageLab(t);
  const root = await oddFiles(lab);
  await lab.importFrom('odd', root);
  const mounts = await lab.open();
  const {path} = await mounts.mount('app', {name: 'odd'});
  const names = await readdir(path, {encoding: 'buffer'});
  t.true(names.some((name) => name.includes(0xff)));
  t.is(await everything(path), await everything(root));
  const [one, other] = await Promise.all([stat(join(path, 'large')), stat(join(path, 'dir', 'the same'))]);
  t.is(one.ino, other.ino);
  t.is(one.nlink, 2);
  await t.throwsAsync(writeFile(join(path, 'small'), 'x'), {code: 'EROFS'});
  await t.throwsAsync(access(join(path, 'nothing')), {code: 'ENOENT'});
  // Again, from a tar archive: the same files are the same image.
  await run(['tar', '-C', root, '--xattrs', '--xattrs-include=*', '-cf', join(lab.directory, 'odd.tar'), '.'], {timeoutMs: 10_000});
  const fromTar = await lab.importFrom('tar', join(lab.directory, 'odd.tar'));
  const {path: tarPath} = await mounts.mount('other', {digest: fromTar.digest});
  t.is(await everything(tarPath), await everything(root));
});

rootTest('a file that is local is read by the kernel alone', async (t) => {
  const lab = await imageLab(t);
  const root = await oddFiles(lab);
  const {digest} = await lab.importFrom('odd', root);
  const mounts = await lab.open();
  const {path} = await mounts.mount('app', {name: 'odd'});
  await mounts.fetchAll(digest, new AbortController().signal);
  t.true((await readFile(join(path, 'large'))).equals(await readFile(join(root, 'large'))));
  const counts = await mounts.counts(digest);
  t.is(counts['read'] ?? 0, 0);
});

rootTest('readers of a cold image wait for the store without keeping each other waiting, and share what is fetched', async (t) => {
  const lab = await imageLab(t);
  const root = join(lab.directory, 'many');
  await mkdir(root);
  for (let n = 0; n < 200; n += 1) await writeFile(join(root, `file-${n}`), noise(4096 + n, n));
  await writeFile(join(root, 'large'), noise(8 * mebibyte, 999));
  const {digest} = await lab.importFrom('many', root);
  const objects = slowStore(lab.objects, 20);
  const mounts = await lab.open({objects});
  const {path} = await mounts.mount('app', {name: 'many'});
  objects.down = true;
  const large = sums(path, 'large');
  // While that one waits, everything else that needs no content goes on.
  t.is((await readdir(path)).length, 201);
  await until(() => objects.gets > 1);
  objects.down = false;
  t.is(await sums(path, "'file-'*"), await sums(root, "'file-'*"));
  t.is(await large, await sums(root, 'large'));
  t.true(objects.gets < 60, `${objects.gets} requests of the store`);
  t.true((await mounts.counts(digest))['open'] !== undefined);
});

rootTest('a damaged chunk gives an error to its reader only, and is reported with object and offset', async (t) => {
  const lab = await imageLab(t);
  const root = join(lab.directory, 'two');
  await mkdir(root);
  await writeFile(join(root, 'a'), noise(mebibyte, 1));
  await writeFile(join(root, 'b'), noise(mebibyte, 2));
  const {digest} = await lab.importFrom('two', root);
  const [pack] = await lab.objects.list('images/packs/');
  const packPath = join(lab.directory, 'store', pack?.key ?? '');
  await using file = await open(packPath, constants.O_RDWR);
  await file.write(Buffer.from('damage'), 0, 6, 300 * 1024);
  const mounts = await lab.open();
  const {path} = await mounts.mount('app', {digest});
  const damaged = await t.throwsAsync(run(['cat', join(path, 'a')], {timeoutMs: 10_000}));
  t.regex(damaged.message, /Input\/output error/);
  t.is(await sums(path, 'b'), await sums(root, 'b'));
  const key = `images/sha256/${digest}`;
  const data = await lab.objects.get(key);
  for (const position of [0, 9, 60, data.length - 3]) {
    const flipped = Buffer.from(data);
    flipped[position] = (flipped[position] ?? 0) ^ 1;
    await t.throwsAsync(parseImage(digest, flipped), {
      code: 'ERR_IMAGE_DAMAGED',
      message: /^Cannot use object "images\/sha256\/[0-9a-f]{64}": at byte [0-9]+ /,
    });
  }
});

rootTest('a cache that is too small for the image serves all of it', async (t) => {
  const lab = await imageLab(t);
  const root = join(lab.directory, 'big');
  await mkdir(root);
  for (let n = 0; n < 12; n += 1) await writeFile(join(root, `file-${n}`), noise(mebibyte, n));
  await lab.importFrom('big', root);
  const mounts = await lab.open({cacheBytes: 3 * mebibyte, passthrough: false});
  const {path} = await mounts.mount('app', {name: 'big'});
  t.is(await sums(path, '*', 1), await sums(root));
  await until(async () => {
    const sizes = await Promise.all(
      (await readdir(join(lab.directory, 'cache', 'files'))).map(async (name) => (await stat(join(lab.directory, 'cache', 'files', name))).size),
    );
    return sizes.reduce((sum, size) => sum + size, 0) <= 4 * mebibyte;
  });
});

const script = join(import.meta.dirname, 'serve-images.ts');

async function server(lab: ImageLab, delayMs: number, digest: string): Promise<Daemon> {
  const daemon = await startDaemon([process.execPath, script, lab.directory, String(delayMs), digest], {stdio: ['ignore', 'pipe', 'pipe']});
  let output = '';
  daemon.child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await until(() => output === 'ready\n', {timeoutMs: 20_000});
  return daemon;
}

rootTest('programs that read while the pager is killed just wait, again and again', async (t) => {
  t.timeout(100_000);
  const lab = await imageLab(t);
  const root = join(lab.directory, 'many');
  await mkdir(root);
  for (let n = 0; n < 40; n += 1) await writeFile(join(root, `file-${n}`), noise(300_000 + n, n));
  const {digest} = await lab.importFrom('many', root);
  let running = await server(lab, 30, digest);
  t.teardown(async () => {
    await running[Symbol.asyncDispose]();
    if (findKeepers(join(lab.directory, 'run', 'rootfs')).length > 0) throw new Error('a keeper is left');
  });
  const path = join(lab.mountsDir, '1');
  await using held = await open(join(path, 'file-3'));
  const reading = sums(path);
  for (let round = 0; round < 4; round += 1) {
    running.child.kill('SIGKILL');
    await running.exited;
    running = await server(lab, 30, '');
  }
  t.is(await reading, await sums(root));
  // A file that was open all the time, and one that is opened anew.
  t.is((await held.read(Buffer.alloc(300_100), 0, 300_100, 0)).bytesRead, 300_003);
  t.true((await readFile(join(path, 'file-3'))).equals(await readFile(join(root, 'file-3'))));
});

rootTest('an image is unmounted when the last app has another one', async (t) => {
  const lab = await imageLab(t);
  const root = join(lab.directory, 'one');
  await mkdir(root);
  await writeFile(join(root, 'a'), 'first');
  const first = await lab.importFrom('x', root);
  const mounts = await lab.open();
  const {path} = await mounts.mount('app', {name: 'x'});
  await mounts.mount('other', {name: 'x'});
  await writeFile(join(root, 'a'), 'second');
  await lab.importFrom('x', root);
  const {path: newPath} = await mounts.mount('app', {name: 'x'});
  const contents = await run(['cat', join(newPath, 'a'), join(path, 'a')], {timeoutMs: 10_000});
  t.is(contents.stdout, 'secondfirst');
  t.is((await lab.objects.list(`images/uses/${first.digest}`)).length, 1);
  await mounts.mount('other', {name: 'x'});
  await until(async () => !(await readFile('/proc/mounts', 'utf8')).includes(`${path} `));
  t.is((await lab.objects.list(`images/uses/${first.digest}`)).length, 0);
});

rootTest('an image stays in use on a host where a checkpoint needs it that is not uploaded yet', async (t) => {
  const lab = await imageLab(t);
  const root = join(lab.directory, 'one');
  await mkdir(root);
  await writeFile(join(root, 'a'), 'first');
  const {digest} = await lab.importFrom('x', root);
  const uses = async (): Promise<number> => (await lab.objects.list(`images/uses/${digest}`)).length;
  const needed = new Set([digest]);
  const before = await lab.open({needed: async () => needed});
  await before.mount('app', {name: 'x'});
  await before[Symbol.asyncDispose]();
  t.is(await uses(), 1);
  await (await lab.open({needed: async () => needed}))[Symbol.asyncDispose]();
  t.is(await uses(), 1);
  needed.clear();
  await (await lab.open({needed: async () => needed}))[Symbol.asyncDispose]();
  t.is(await uses(), 0);
});

rootTest('an app that comes while the last one leaves gets a mount that stays', async (t) => {
  const lab = await imageLab(t);
  const root = join(lab.directory, 'one');
  await mkdir(root);
  await writeFile(join(root, 'a'), 'first');
  const {digest} = await lab.importFrom('x', root);
  await writeFile(join(root, 'a'), 'second');
  await lab.importFrom('y', root);
  const mounts = await lab.open();
  for (let round = 0; round < 10; round += 1) {
    await mounts.mount('leaving', {digest});
    await mounts.mount('coming', {name: 'y'});
    const left = mounts.mount('leaving', {name: 'y'});
    for (let turn = 0; turn < round; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    const {path} = await mounts.mount('coming', {digest});
    await left;
    t.is((await run(['cat', join(path, 'a')], {timeoutMs: 10_000})).stdout, 'first');
    t.is((await lab.objects.list(`images/uses/${digest}`)).length, 1);
  }
});
