/** Keys: what is sealed tells nothing, opens only where and with what it was sealed, and a key that cannot be had is never taken for damage. */
import {randomBytes} from 'node:crypto';
import {copyFile, readdir, readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {CodedError} from '../../src/core/errors.ts';
import {generation} from '../../src/core/ids.ts';
import {openAppKeys} from '../../src/pager/checkpoints/app-keys.ts';
import type {Checkpoint} from '../../src/pager/checkpoints/checkpoint.ts';
import {openCheckpointStore} from '../../src/pager/checkpoints/checkpoint-store.ts';
import {DamagedCheckpointError} from '../../src/pager/checkpoints/damage.ts';
import {openKeyring, parseMasterKey} from '../../src/pager/checkpoints/keyring.ts';
import {pageSizeBytes} from '../../src/pager/checkpoints/page-table.ts';
import {decodePageTable} from '../../src/pager/checkpoints/page-table-codec.ts';
import {keyId} from '../../src/pager/checkpoints/sealing.ts';
import {segmentHeaderBytes} from '../../src/pager/checkpoints/segment.ts';
import {SegmentReader} from '../../src/pager/checkpoints/segment-reader.ts';
import {imagesOfCheckpoints} from '../../src/pager/images/rootfs-image-uses.ts';
import {coldImagesKey, coldSegmentKey, openTables, parseCold} from '../../src/pager/remote/cold-object.ts';
import {coldObject} from '../../src/pager/remote/cold-writer.ts';
import {app, bench, easyPage, flipByte, heap, heapPages, heapProcess, library, objectKeys, restored, samePages, segmentKey} from './checkpoint-bench.ts';
import {fileBytes} from './fuse-files-on-disk.ts';

const masterKey = Buffer.alloc(32, 7);
const keyring = openKeyring({keys: [masterKey]});
const secret = 'a password that nobody may find';

function secretPages(): Map<number, Uint8Array> {
  const noisy = heapPages(80);
  const plain = Array.from({length: 80}, (_, at): [number, Uint8Array] => [heap.page + 200 + at, Buffer.alloc(pageSizeBytes, `${secret} ${at} `)]);
  return new Map([...noisy, ...plain, [library.page, easyPage(1)]]);
}

async function storedBytes(root: string): Promise<Buffer> {
  const entries = await readdir(root, {recursive: true, withFileTypes: true});
  return Buffer.concat(await Promise.all(entries.filter((entry) => entry.isFile()).map((entry) => readFile(join(entry.parentPath, entry.name)))));
}

test('a sealed generation comes back, and nothing of it can be read in the store', async (t) => {
  await using b = await bench(undefined, keyring);
  const pages = secretPages();
  const image = Buffer.from(`${secret} in an image`);
  const {generation: first} = await b.commit([heapProcess(pages)], {files: {'files.img': image}, meta: {token: secret}});
  const checkpoint = await b.store.load(app, first);
  t.true(samePages(await restored(checkpoint), pages));
  t.deepEqual(checkpoint.meta, {token: secret});
  t.true(image.equals(fileBytes(await checkpoint.images('lazy'), 'files.img')));
  using reader = new SegmentReader({segments: await checkpoint.localSegments()});
  const found = new Map<number, Uint8Array>();
  for (const run of checkpoint.tables.get(1)?.runs() ?? []) {
    for (let number = 0; number < run.count; number++) {
      const data = Buffer.alloc(pageSizeBytes);
      reader.readPagesSync(run.segment, run.index + number, 1, data, 0);
      found.set(run.page + number, data);
    }
  }
  t.true(samePages(found, pages));
  const stored = await storedBytes(b.root);
  for (const text of [secret, Buffer.from(secret).toString('base64').slice(0, 20)]) t.false(stored.includes(text));
  t.false(stored.includes(Buffer.from(heapPages(1).get(heap.page) ?? []).subarray(0, 16)));
  const second = await b.commit([heapProcess(pages)], {parent: checkpoint});
  t.is(second.newPages, 0);
});

test('a cold object tells nobody without the key where pages are', async (t) => {
  await using b = await bench(undefined, keyring);
  await b.commit([heapProcess(heapPages(50))]);
  const expected = async ({tables}: Checkpoint) => new Map([...tables].map(([pid, table]) => [pid, [...table.runs()]] as const));
  const {key, body} = await coldObject({objects: b.objects, keyring, expected}, app, 1);
  const layout = parseCold(Buffer.concat(await Array.fromAsync(body)));
  const pages = layout?.contents.expected ?? t.fail('no expected pages');
  const dataKey = await openAppKeys(b.objects, keyring).forWriting(app);
  const opened = openTables(pages, coldSegmentKey(key));
  t.is(opened(dataKey).get(1)?.size, 50);
  t.is(opened(undefined).size, 0);
  t.is(openTables(pages, coldImagesKey(key))(dataKey).size, 0);
  const [table] = pages.tables;
  t.throws(() => decodePageTable(Buffer.from(table?.table ?? '', 'base64')));
});

test('which images sealed generations need is known without their key', async (t) => {
  await using b = await bench(undefined, keyring);
  await b.commit([heapProcess(heapPages(3))], {meta: {image: 'the digest of one'}});
  await b.commit([heapProcess(heapPages(3))], {meta: {}});
  await b.commit([heapProcess(heapPages(3))], {meta: {image: 'the digest of another'}});
  t.deepEqual([...(await imagesOfCheckpoints(b.objects))], ['the digest of one', 'the digest of another']);
});

test('what was written before there was a key stays readable, and what comes after is sealed', async (t) => {
  await using b = await bench();
  const pages = secretPages();
  await b.commit([heapProcess(pages)]);
  await using sealed = await bench(b.root, keyring);
  const parent = await sealed.store.load(app, generation(1));
  pages.set(heap.page, easyPage(5));
  const second = await sealed.commit([heapProcess(pages)], {parent});
  t.is(second.newPages, 1);
  const checkpoint = await sealed.store.load(app, second.generation);
  t.true(samePages(await restored(checkpoint), pages));
  t.not(checkpoint.manifest.sealed, null);
  t.is(parent.manifest.sealed, null);
});

test('without the key, or with another, everything says which is wanted, and nothing is called damaged', async (t) => {
  await using b = await bench(undefined, keyring);
  await b.commit([heapProcess(heapPages(3))]);
  const before = await objectKeys(b.objects);
  const other = openKeyring({keys: [Buffer.alloc(32, 8)]});
  for (const wrong of [null, other]) {
    const store = openCheckpointStore({objects: b.objects, keyring: wrong});
    for (const work of [store.load(app, generation(1)), store.latestComplete(app)]) {
      const error = await t.throwsAsync(work, {instanceOf: CodedError, code: 'ERR_WRONG_KEY'});
      t.regex(error.message, new RegExp(`^Cannot read object "apps/shop/key": .*${keyId(masterKey)}`));
      t.false(error instanceof DamagedCheckpointError);
    }
  }
  const rotated = openCheckpointStore({objects: b.objects, keyring: openKeyring({keys: [Buffer.alloc(32, 8), masterKey]})});
  t.true(samePages(await restored(await rotated.load(app, generation(1))), heapPages(3)));
  t.deepEqual(await objectKeys(b.objects), before);
});

test('a key object that is gone, damaged, or that of another app is named', async (t) => {
  await using b = await bench(undefined, keyring);
  await b.commit([heapProcess(heapPages(3))]);
  const path = join(b.root, 'apps/shop/key');
  const content = await readFile(path);
  const fails = async (found: RegExp): Promise<void> => {
    const store = openCheckpointStore({objects: b.objects, keyring});
    const error = await t.throwsAsync(store.load(app, generation(1)), {code: 'ERR_WRONG_KEY'});
    t.regex(error.message, found);
  };
  await writeFile(path, content.subarray(0, 20));
  await fails(/^Cannot read object "apps\/shop\/key": it is not a wrapped key$/);
  await writeFile(path, `${JSON.stringify({format: 1, masterKey: keyring.id, wrapped: keyring.wrap('bank', randomBytes(32)).wrapped.toString('base64')})}\n`);
  await fails(new RegExp(`encryption key ${keyring.id} does not open it`));
  await b.objects.delete('apps/shop/key');
  await fails(/^Cannot read object "apps\/shop\/manifests\/00000001.json": it is sealed with key [0-9a-f]{16}, and "apps\/shop\/key" does not exist$/);
  await writeFile(path, `${JSON.stringify({format: 1, masterKey: keyring.id, wrapped: keyring.wrap('shop', randomBytes(32)).wrapped.toString('base64')})}\n`);
  await fails(/^Cannot read object "apps\/shop\/manifests\/00000001.json": it is sealed with key [0-9a-f]{16}, not with [0-9a-f]{16}$/);
});

test('two workers that make the key of an app at once use the same one', async (t) => {
  await using b = await bench(undefined, keyring);
  const found = await Promise.all(Array.from({length: 8}, async () => openAppKeys(b.objects, keyring).forWriting(app)));
  t.is(new Set(found.map((key) => Buffer.from(key ?? '').toString('hex'))).size, 1);
});

test('sealed blocks that change places are not opened', async (t) => {
  await using b = await bench(undefined, keyring);
  await b.commit([heapProcess(heapPages(64))]);
  await b.commit([heapProcess(heapPages(64))]);
  const checkpoint = await b.store.load(app, generation(1));
  const segments = await checkpoint.localSegments();
  const path = join(b.root, segmentKey);
  const original = await readFile(path);
  const blockBytes = 32 * pageSizeBytes + 16;
  const into = Buffer.alloc(pageSizeBytes);
  const swapped = Buffer.from(original);
  original.copy(swapped, segmentHeaderBytes, segmentHeaderBytes + blockBytes, segmentHeaderBytes + 2 * blockBytes);
  original.copy(swapped, segmentHeaderBytes + blockBytes, segmentHeaderBytes, segmentHeaderBytes + blockBytes);
  await writeFile(path, swapped);
  {
    using reader = new SegmentReader({segments});
    const error = t.throws(() => reader.readPagesSync(1, 40, 1, into, 0), {instanceOf: DamagedCheckpointError});
    t.is(error.offset, segmentHeaderBytes + blockBytes);
    t.regex(error.message, /^Cannot read object "apps\/shop\/segments\/00000001" of generation 1: at byte \d+, the seal of 131088 bytes is broken$/);
  }
  // The same block of another segment with the same content.
  await writeFile(
    path,
    Buffer.concat([original.subarray(0, segmentHeaderBytes), (await readFile(join(b.root, 'apps/shop/segments/00000002'))).subarray(segmentHeaderBytes)]),
  );
  using reader = new SegmentReader({segments});
  t.throws(() => reader.readPagesSync(1, 0, 1, into, 0), {instanceOf: DamagedCheckpointError});
  await copyFile(join(b.root, 'apps/shop/images/00000002-1'), join(b.root, 'apps/shop/images/00000001-1'));
  await t.throwsAsync(b.store.load(app, generation(1)), {instanceOf: DamagedCheckpointError});
  await t.notThrowsAsync(b.store.load(app, generation(2)));
});

test('a flipped bit anywhere in a sealed segment is found', async (t) => {
  await using b = await bench(undefined, keyring);
  const pages = secretPages();
  await b.commit([heapProcess(pages)]);
  const checkpoint = await b.store.load(app, generation(1));
  const [segment] = checkpoint.manifest.segments;
  for (let at = segmentHeaderBytes; at < (segment?.sizeBytes ?? 0); at += 9973) {
    const path = join(b.root, segmentKey);
    await flipByte(path, at);
    await t.throwsAsync(checkpoint.images('eager'), {instanceOf: CodedError, message: /^Cannot read object "apps\/shop\/segments\/00000001"/}, `byte ${at}`);
    await flipByte(path, at);
  }
  t.true(samePages(await restored(checkpoint), pages));
});

test('parseMasterKey() reads hexadecimal digits, base64 and bytes, and shows nothing of what it cannot read', (t) => {
  const key = randomBytes(32);
  for (const content of [
    key.toString('hex'),
    `${key.toString('hex').toUpperCase()}\n`,
    key.toString('base64'),
    Buffer.from(` ${key.toString('base64')}\n`),
    key,
  ]) {
    t.deepEqual(parseMasterKey(content), key);
  }
  for (const content of ['', 'secret', key.toString('hex').slice(1), Buffer.alloc(31), `${key.toString('hex')}00`]) {
    const error = t.throws(() => parseMasterKey(content), {code: 'ERR_BAD_KEY'});
    t.false(error.message.includes('secret'));
  }
});
