import {constants, createReadStream} from 'node:fs';
import {access, mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {run, startDaemon} from '../../src/core/command.ts';
import {createLog} from '../../src/core/log.ts';
import {type Fuse, openFuse} from '../../src/pager/fuse/fuse.ts';
import type {Extent} from '../../src/pager/fuse/fuse-files.ts';
import {fc} from '../helpers/properties.ts';
import {until} from '../helpers/until.ts';

const rootTest = process.getuid?.() === 0 ? test.serial : test.skip;

async function mountsUnder(path: string): Promise<string[]> {
  const table = await readFile('/proc/mounts', 'utf8');
  return table.split('\n').filter((line) => line.includes(` ${path}`));
}

async function temporary(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'picogate-fuse-'));
  t.teardown(async () => {
    const left = await mountsUnder(path);
    if (left.length > 0) throw new Error(`Still mounted: ${left.join(', ')}`);
    await rm(path, {recursive: true});
  });
  return path;
}

interface Fixture {
  readonly fuse: Fuse;
  readonly path: string;
  readonly errors: string[];
}

async function opened(t: ExecutionContext): Promise<Fixture> {
  const path = await temporary(t);
  const errors: string[] = [];
  const fuse = await openFuse({mountPoint: join(path, 'mnt'), log: createLog('silent'), onError: (error) => errors.push(`${error.code} ${error.message}`)});
  // Ava runs the last teardown first.
  t.teardown(() => fuse[Symbol.asyncDispose]());
  return {fuse, path, errors};
}

function bytes(data: string | Uint8Array): Extent {
  const copy = Buffer.from(data);
  return {length: copy.length, source: {kind: 'bytes', data: copy}};
}

function pattern(length: number, seed: number): Buffer {
  const out = Buffer.alloc(length);
  let state = seed + 1;
  for (let at = 0; at + 4 <= length; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    out.writeInt32LE(state, at);
  }
  return out;
}

type Piece = {readonly kind: 'bytes' | 'file' | 'zero'; readonly length: number; readonly position: number};

function toExtent(piece: Piece, backing: {readonly path: string; readonly content: Buffer}): {extent: Extent; expected: Buffer} {
  const {length, position} = piece;
  const content = backing.content.subarray(position, position + length);
  switch (piece.kind) {
    case 'zero':
      return {extent: {length, source: {kind: 'zero'}}, expected: Buffer.alloc(length)};
    case 'bytes':
      return {extent: bytes(content), expected: content};
    case 'file':
      return {extent: {length, source: {kind: 'file', path: backing.path, position}}, expected: content};
    default:
      return piece.kind satisfies never;
  }
}

rootTest('openFuse() serves any extents, read with any size at any offset', async (t) => {
  const {fuse, path} = await opened(t);
  const backing = {path: join(path, 'backing'), content: pattern(600_000, 1)};
  await writeFile(backing.path, backing.content);
  const piece = fc.record({
    kind: fc.constantFrom('bytes' as const, 'file' as const, 'zero' as const),
    length: fc.oneof(fc.nat(10), fc.nat(300_000), fc.constantFrom(0, 4096, 131072)),
    position: fc.nat(300_000),
  });
  const read = fc.record({offset: fc.nat(1_000_000), size: fc.oneof(fc.nat(300), fc.nat(1_200_000)), direct: fc.boolean()});
  let number = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(piece, {maxLength: 12}), fc.array(read, {maxLength: 8}), async (pieces, reads) => {
      const parts = pieces.map((one) => toExtent(one, backing));
      const expected = Buffer.concat(parts.map((part) => part.expected));
      const name = `d${number++}`;
      const directory = await fuse.add(name, new Map([['f', parts.map((part) => part.extent)]]));
      for (const {offset, size, direct} of reads) {
        await using file = await open(join(directory, 'f'), constants.O_RDONLY | (direct ? constants.O_DIRECT : 0));
        const {buffer, bytesRead} = await file.read(Buffer.alloc(size), 0, size, offset);
        if (!buffer.subarray(0, bytesRead).equals(expected.subarray(offset, offset + size))) throw new Error(`${size} at ${offset} differ`);
      }
      const whole = await readFile(join(directory, 'f'));
      if (!whole.equals(expected)) throw new Error('the whole file differs');
      await fuse.remove(name);
    }),
    {numRuns: 60},
  );
  t.pass();
});

rootTest('openFuse() lists directories of any length', async (t) => {
  const {fuse} = await opened(t);
  const names = Array.from({length: 3000}, (_, index) => `pages-${index}-with-a-name-that-fills-the-buffer.img`);
  const directory = await fuse.add('many', new Map(names.map((name) => [name, [bytes(name)]])));
  await fuse.add('none', new Map());
  t.deepEqual((await readdir(directory)).sort(), [...names].sort());
  t.deepEqual((await readdir(fuse.mountPoint)).sort(), ['many', 'none']);
  t.deepEqual(await readdir(join(fuse.mountPoint, 'none')), []);
  const {stdout} = await run(['ls', '-la', directory], {timeoutMs: 20_000});
  t.is(stdout.trim().split('\n').length, names.length + 3);
});

rootTest('openFuse() gives root-only immutable files their size and type', async (t) => {
  const {fuse} = await opened(t);
  const directory = await fuse.add('a', new Map([['f', [bytes('12345'), {length: 2 ** 40, source: {kind: 'zero'}}]]]));
  const status = await stat(join(directory, 'f'));
  t.deepEqual([status.size, status.mode, status.uid, status.isFile()], [2 ** 40 + 5, 0o100400, 0, true]);
  t.true((await stat(directory)).isDirectory());
  await using file = await open(join(directory, 'f'));
  const {bytesRead} = await file.read(Buffer.alloc(10), 0, 10, 2 ** 40);
  t.is(bytesRead, 5);
});

rootTest('openFuse() says ENOENT for what is not there', async (t) => {
  const {fuse} = await opened(t);
  await fuse.add('a', new Map([['f', [bytes('x')]]]));
  await t.throwsAsync(stat(join(fuse.mountPoint, 'b')), {code: 'ENOENT'});
  await t.throwsAsync(stat(join(fuse.mountPoint, 'a', 'g')), {code: 'ENOENT'});
  await t.throwsAsync(stat(join(fuse.mountPoint, 'a', 'f', 'g')), {code: 'ENOTDIR'});
});

rootTest('openFuse() refuses every change with EROFS', async (t) => {
  const {fuse} = await opened(t);
  const path = join(await fuse.add('a', new Map([['f', [bytes('x')]]])), 'f');
  await t.throwsAsync(writeFile(path, 'y'), {code: 'EROFS'});
  await t.throwsAsync(writeFile(`${path}2`, 'y'), {code: 'EROFS'});
  await t.throwsAsync(truncate(path, 0), {code: 'EROFS'});
  await t.throwsAsync(rm(path), {code: 'EROFS'});
  await t.throwsAsync(access(path, constants.W_OK), {code: 'EROFS'});
  await access(path, constants.R_OK);
  t.is(await readFile(path, 'utf8'), 'x');
});

rootTest('openFuse() gives 64 MiB to concurrent readers, to cat and to mmap', async (t) => {
  const {fuse, path} = await opened(t);
  const content = pattern(64 << 20, 3);
  const backing = join(path, 'backing');
  await writeFile(backing, content);
  const extents: Extent[] = [];
  for (let position = 0; position < content.length; position += 1 << 20) extents.push({length: 1 << 20, source: {kind: 'file', path: backing, position}});
  const file = join(await fuse.add('a', new Map([['f', extents]])), 'f');
  const mapped = 'import mmap,sys,hashlib\nf=open(sys.argv[1],"rb")\nm=mmap.mmap(f.fileno(),0,prot=mmap.PROT_READ)\nprint(hashlib.sha256(m).hexdigest())';
  const digests = await Promise.all([
    run(['sha256sum', file], {timeoutMs: 20_000}),
    run(['sh', '-c', 'cat "$1" | sha256sum', 'sh', file], {timeoutMs: 20_000}),
    run(['python3', '-c', mapped, file], {timeoutMs: 20_000}),
    run(['sha256sum', backing], {timeoutMs: 20_000}),
  ]);
  t.is(new Set(digests.map(({stdout}) => stdout.split(/\s/)[0])).size, 1);
  const streams = Array.from({length: 8}, async (_, index) => {
    let position = index * 1_000_003;
    for await (const chunk of createReadStream(file, {start: position, end: position + 3_000_000 - 1}) as AsyncIterable<Buffer>) {
      if (!chunk.equals(content.subarray(position, position + chunk.length))) return false;
      position += chunk.length;
    }
    return position === index * 1_000_003 + 3_000_000;
  });
  t.true((await Promise.all(streams)).every(Boolean));
});

rootTest('remove() takes a directory away, and a later one of the same name shows its own files', async (t) => {
  const {fuse} = await opened(t);
  const file = join(await fuse.add('a', new Map([['f', [bytes('old')]]])), 'f');
  t.is(await readFile(file, 'utf8'), 'old');
  await using stillOpen = await open(file);
  await fuse.remove('a');
  await t.throwsAsync(readFile(file), {code: 'ENOENT'});
  t.deepEqual(await readdir(fuse.mountPoint), []);
  await fuse.add('a', new Map([['f', [bytes('newer')]]]));
  t.is(await readFile(file, 'utf8'), 'newer');
  // What was read before may come from the kernel's cache, but it is never the new content.
  const {buffer, bytesRead} = await stillOpen.read(Buffer.alloc(5), 0, 5, 0).catch(() => ({buffer: Buffer.from('old'), bytesRead: 3}));
  t.is(buffer.toString('utf8', 0, bytesRead), 'old');
  await fuse.remove('a');
  await fuse.remove('a');
});

rootTest('a damaged backing file gives EIO, is reported once, and harms no other file', async (t) => {
  const {fuse, path, errors} = await opened(t);
  const backing = join(path, 'backing');
  await writeFile(backing, pattern(8192, 5));
  const directory = await fuse.add(
    'a',
    new Map<string, Extent[]>([
      ['short', [bytes('abc'), {length: 10_000, source: {kind: 'file', path: backing, position: 0}}]],
      ['missing', [{length: 10, source: {kind: 'file', path: join(path, 'nothing'), position: 0}}]],
      ['good', [{length: 8192, source: {kind: 'file', path: backing, position: 0}}]],
    ]),
  );
  // A reader gets the pages in front of the damage, then the error; never bytes that are not there.
  for (let round = 0; round < 2; round++) {
    await using short = await open(join(directory, 'short'));
    t.is((await short.read(Buffer.alloc(10_003), 0, 10_003, 0)).bytesRead, 8192);
    await t.throwsAsync(short.read(Buffer.alloc(10_003), 0, 10_003, 8192), {code: 'EIO'});
    await t.throwsAsync(short.read(Buffer.alloc(1), 0, 1, 8194), {code: 'EIO'});
  }
  await t.throwsAsync(readFile(join(directory, 'missing')), {code: 'EIO'});
  t.is((await readFile(join(directory, 'good'))).length, 8192);
  await until(() => errors.length >= 2);
  t.is(errors.length, 2);
  t.regex(errors[0] ?? '', /^ERR_FUSE_READ Cannot read .*backing": it ends at 8192$/);
  t.regex(errors[1] ?? '', /^ERR_FUSE_READ .*nothing": ENOENT/);
});

rootTest('nothing is read around what is there of a file that has gaps, and reading a gap fails', async (t) => {
  const {fuse, errors} = await opened(t);
  const [first, last] = [pattern(4096, 6), pattern(4096, 7)];
  const gap: Extent = {length: 256 * 1024, source: {kind: 'absent', object: 'segment 7'}};
  await using file = await open(join(await fuse.add('a', new Map([['f', [bytes(first), gap, bytes(last)]]])), 'f'));
  t.deepEqual((await file.read(Buffer.alloc(4096), 0, 4096, 0)).buffer, first);
  t.deepEqual((await file.read(Buffer.alloc(4096), 0, 4096, 4096 + gap.length)).buffer, last);
  t.deepEqual(errors, []);
  await t.throwsAsync(file.read(Buffer.alloc(4096), 0, 4096, 8192), {code: 'EIO'});
  await until(() => errors.length > 0);
  t.deepEqual(errors, ['ERR_FUSE_READ Cannot read a part of object "segment 7": it has no local copy']);
});

rootTest('an unmount by somebody else is reported, and later calls fail', async (t) => {
  const {fuse, errors} = await opened(t);
  await run(['umount', '-l', fuse.mountPoint], {timeoutMs: 5000});
  await until(() => errors.length > 0);
  t.regex(errors[0] ?? '', /^ERR_FUSE_STOPPED /);
  await t.throwsAsync(fuse.add('a', new Map()), {code: 'ERR_FUSE_STOPPED'});
});

rootTest('add() refuses names that are none and a directory that is there', async (t) => {
  const {fuse} = await opened(t);
  for (const name of ['', '.', '..', 'a/b', 'a\0', 'x'.repeat(256)]) await t.throwsAsync(fuse.add(name, new Map()), {code: 'ERR_ASSERTION'});
  await fuse.add('x', new Map());
  await t.throwsAsync(fuse.add('x', new Map()), {code: 'ERR_ASSERTION'});
});

rootTest('dispose() unmounts while a file is open, and twice is harmless', async (t) => {
  const {fuse} = await opened(t);
  const file = join(await fuse.add('a', new Map([['f', [{length: 1 << 30, source: {kind: 'zero'}}]]])), 'f');
  await using handle = await open(file);
  await handle.read(Buffer.alloc(10), 0, 10, 0);
  await Promise.all([fuse[Symbol.asyncDispose](), fuse[Symbol.asyncDispose]()]);
  t.deepEqual(await mountsUnder(fuse.mountPoint), []);
  await t.throwsAsync(handle.read(Buffer.alloc(10), 0, 10, 900_000_000), {message: /ENOTCONN|ECONNABORTED/});
});

const script = join(import.meta.dirname, 'serve-fuse.ts');

rootTest('a mount of a killed process is replaced by the next one', async (t) => {
  const path = await temporary(t);
  const mountPoint = join(path, 'mnt');
  for (let round = 0; round < 2; round++) {
    await using server = await startDaemon([process.execPath, script, mountPoint, 'stay'], {stdio: ['ignore', 'pipe', 'pipe']});
    let output = '';
    server.child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await until(() => output === 'ready\n', {timeoutMs: 20_000});
    t.is(await readFile(join(mountPoint, 'a', 'f'), 'utf8'), 'first');
    server.child.kill('SIGKILL');
    await server.exited;
    await t.throwsAsync(stat(join(mountPoint, 'a')), {code: 'ENOTCONN'});
  }
  await using fuse = await openFuse({mountPoint, log: createLog('silent'), onError: (error) => t.fail(error.message)});
  await fuse.add('a', new Map([['f', [bytes('second')]]]));
  t.is(await readFile(join(mountPoint, 'a', 'f'), 'utf8'), 'second');
});

for (const [end, exitCode] of [
  ['exit', 0],
  ['throw', 1],
  ['drain', 0],
] as const) {
  rootTest(`a process that ends without disposing (${end}) neither hangs nor leaves the mount`, async (t) => {
    const mountPoint = join(await temporary(t), 'mnt');
    await using server = await startDaemon([process.execPath, script, mountPoint, end], {stdio: ['ignore', 'pipe', 'pipe'], stopTimeoutMs: 1000});
    server.child.stdout?.resume();
    t.is((await server.exited).exitCode, exitCode);
    t.deepEqual(await mountsUnder(mountPoint), []);
  });
}

rootTest('the descriptors do not leak into children', async (t) => {
  await opened(t);
  const {stdout} = await run(['sh', '-c', 'ls -l /proc/self/fd'], {timeoutMs: 5000});
  t.notRegex(stdout, /fuse|eventfd/);
});
