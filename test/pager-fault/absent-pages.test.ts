import test from 'ava';
import {absentRanges} from '../../src/pager/faults/absent-pages.ts';
import {fc} from '../helpers/properties.ts';
import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';
import {chunkBytes, coldLab} from './cold-lab.ts';
import {crcOf, first} from './fault-lab.ts';

const crcs = (page: number, count: number): number[] => Array.from({length: count}, (_, n) => crcOf(page + n));

test('absentRanges() names exactly the chunks that are not there', (t) => {
  const chunks = 20;
  const range = fc.tuple(fc.nat(chunks * 10 - 1), fc.integer({min: 1, max: 60})).map(([position, length]) => ({position, length}));
  fc.assert(
    fc.property(fc.array(fc.boolean(), {minLength: chunks, maxLength: chunks}), fc.array(range, {maxLength: 5}), (present, wanted) => {
      const map = new SharedArrayBuffer(chunks);
      new Uint8Array(map).set(present.map(Number));
      const sorted = wanted.toSorted((a, b) => a.position - b.position);
      const found = absentRanges({map, chunkBytes: 10}, sorted).flatMap(({position, length}) => Array.from({length: length / 10}, (_, n) => position / 10 + n));
      const touched = sorted.flatMap(({position, length}) => Array.from({length}, (_, n) => Math.floor((position + n) / 10)));
      t.deepEqual(new Set(found), new Set(touched.filter((chunk) => present[chunk] === false)));
    }),
  );
});

rootTest('threads and apps that fault on one chunk share its fetch; other threads and other chunks go on meanwhile', async (t) => {
  const fetched = Promise.withResolvers<void>();
  await using lab = await coldLab(1024, async (part, {arrive}) => {
    // The first fetch takes its time.
    if (part.urgent && part.position < 2 * chunkBytes) await fetched.promise;
    arrive(part);
  });
  lab.arriveIndex();
  const [one, two] = [await lab.wake(), await lab.wake()];
  await one.app.ask(['readLater', [first + 1, first + 2, first + 3, first + 1], 4]);
  await two.app.ask(['readLater', [first + 1, first + 4], 2]);
  await until(async () => (await lab.stats(one.instance)).waiting === 3 && (await lab.stats(two.instance)).waiting === 2, {what: 'all to wait'});
  t.deepEqual(await one.app.ask(['read', first + 500, 100]), crcs(first + 500, 100));
  t.deepEqual(await two.app.ask(['readThreads', [first + 700, first + 900], 2]), [crcOf(first + 700), crcOf(first + 900)]);
  t.is(lab.wanted.filter(({position, urgent}) => urgent && position < 2 * chunkBytes).length, 1);
  t.is((await lab.stats(one.instance)).waiting, 3);
  fetched.resolve();
  t.deepEqual(await one.app.ask(['laterResults']), [[first + 1, first + 2, first + 3, first + 1].map(crcOf)]);
  t.deepEqual(await two.app.ask(['laterResults']), [[first + 1, first + 4].map(crcOf)]);
  t.is((await lab.stats(one.instance)).waiting, 0);
  t.deepEqual(
    // On a slow machine this takes so long that it is told.
    lab.reports.filter(({kind}) => !['restored', 'waiting', 'resumed'].includes(kind)),
    [],
  );
});

rootTest('a fetch that does not end is told of after a while, once, and its end too', async (t) => {
  const fetched = Promise.withResolvers<void>();
  await using lab = await coldLab(1024, async (part, {arrive}) => {
    await fetched.promise;
    arrive(part);
  });
  lab.arriveIndex();
  const [one, two] = [await lab.wake(), await lab.wake()];
  await one.app.ask(['readLater', [first + 1, first + 500], 2]);
  const told = (): readonly string[] => lab.reports.flatMap((report) => (report.instance === one.instance && report.kind !== 'restored' ? [report.kind] : []));
  await until(() => told().length > 0, {what: 'the report'});
  // A thread more is nothing new.
  await one.app.ask(['readLater', [first + 800], 1]);
  await until(async () => (await lab.stats(one.instance)).waiting === 3, {what: 'all to wait'});
  t.deepEqual(told(), ['waiting']);
  fetched.resolve();
  t.deepEqual(await one.app.ask(['laterResults']), [[first + 1, first + 500].map(crcOf), [crcOf(first + 800)]]);
  await until(() => told().length > 1, {what: 'the end of the waiting'});
  t.deepEqual(told(), ['waiting', 'resumed']);
  t.false(lab.reports.some((report) => report.instance === two.instance && report.kind === 'waiting'));
});

rootTest('a process that is killed while it waits for a fetch waits no more', async (t) => {
  await using lab = await coldLab(256, async () => Promise.withResolvers<void>().promise);
  lab.arriveIndex();
  const {instance, app} = await lab.wake();
  await app.ask(['readLater', [first + 1], 1]);
  await until(() => lab.reports.some(({kind}) => kind === 'waiting'), {what: 'the report'});
  await app[Symbol.asyncDispose]();
  await until(async () => (await lab.stats(instance)).waiting === 0, {what: 'the end of the waiting', timeoutMs: 15_000});
  t.is((await lab.stats(instance)).faults, 0);
});

rootTest('what is fetched with a page is not forced into the memory of the app', async (t) => {
  await using lab = await coldLab(256, async (part, {arrive}) => arrive(part));
  const {instance, app} = await lab.wake();
  t.deepEqual(await app.ask(['read', first + 70, 1]), [crcOf(first + 70)]);
  t.like(await lab.stats(instance), {faults: 1, prefetched: 0, missing: 255});
});

rootTest('chunks that come late, out of order, and fail for a while: every page is right, and the waiting is told once', async (t) => {
  t.timeout(60_000);
  const count = 2048;
  let calls = 0;
  let failuresLeft = 40;
  await using lab = await coldLab(count, async (part, {arrive}) => {
    // Not every answer is true.
    const isTrue = ++calls % 7 !== 0;
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
    if (part.position > 10 * chunkBytes && failuresLeft-- > 0) throw new Error('the store is away');
    if (isTrue) arrive(part);
  });
  const {instance, app} = await lab.wake({predicted: 300});
  lab.arriveIndex();
  const pages = Array.from({length: count}, (_, n) => first + ((n * 769) % count));
  await app.ask(['readLater', pages, 12]);
  await until(() => lab.reports.some(({kind}) => kind === 'waiting'), {what: 'the report'});
  t.like(
    lab.reports.find(({kind}) => kind === 'waiting'),
    {instance, reason: 'the store is away'},
  );
  t.deepEqual(await app.ask(['laterResults']), [pages.map(crcOf)]);
  t.is((await lab.stats(instance)).waiting, 0);
  await until(() => lab.reports.at(-1)?.kind === 'resumed', {what: 'the end of the waiting'});
  const told = lab.reports.filter(({kind}) => kind !== 'restored').map(({kind}) => kind);
  t.deepEqual(
    told,
    told.map((_, n) => (n % 2 === 0 ? 'waiting' : 'resumed')),
  );
});

rootTest('the predicted set is asked for at once, and installed as it arrives; a fault on a part of it makes that urgent', async (t) => {
  const hold = new Map<number, () => void>();
  await using lab = await coldLab(2048, async (part, {arrive}) => {
    if (!part.urgent) await new Promise<void>((resolve) => hold.set(part.position, resolve));
    arrive(part);
  });
  lab.arriveIndex();
  const {instance, app} = await lab.wake({predicted: 1536});
  await until(() => lab.wanted.reduce((sum, {length}) => sum + length, 0) >= 1536 * 4096, {what: 'the whole set to be asked for'});
  const positions = lab.wanted.map(({position}) => position);
  t.deepEqual(
    positions,
    positions.toSorted((a, b) => a - b),
  );
  t.true(lab.wanted.length <= 8, `${lab.wanted.length} parts`);
  t.deepEqual(await app.ask(['read', first + 1000, 1]), [crcOf(first + 1000)]);
  t.is(lab.wanted.filter(({urgent}) => urgent).length, 1);
  // The last part arrives first.
  for (const [position, release] of [...hold].reverse()) {
    release();
    t.true(positions.includes(position));
  }
  await until(async () => (await lab.stats(instance)).prefetched >= 1535, {what: 'the predicted set'});
  t.deepEqual(await app.ask(['read', first, 2048]), crcs(first, 2048));
  const {prefetched, faults, brought} = await lab.stats(instance);
  t.is(prefetched, 1535);
  t.is(faults + brought, 513);
});

for (const direction of ['upwards', 'downwards'] as const) {
  rootTest(`pages that are read ${direction} are fetched ahead in large parts, and come along when they arrive`, async (t) => {
    const count = 2048;
    await using lab = await coldLab(count, async (part, {arrive}) => {
      await new Promise((resolve) => setTimeout(resolve, 10));
      arrive(part);
    });
    lab.arriveIndex();
    const {instance, app} = await lab.wake();
    const pages = Array.from({length: 1024}, (_, n) => first + (direction === 'upwards' ? n : count - 1 - n));
    await app.ask(['readLater', pages, 1]);
    t.deepEqual(await app.ask(['laterResults']), [pages.map(crcOf)]);
    const {faults, brought} = await lab.stats(instance);
    const urgent = lab.wanted.filter((part) => part.urgent);
    const ahead = lab.wanted.filter((part) => !part.urgent);
    t.log(`${urgent.length} urgent, ${ahead.length} ahead, ${faults} faults, ${brought} brought`);
    t.true(urgent.length <= 20, 'a chunk after the other was waited for');
    t.true(ahead.length <= 12 && ahead.some(({length}) => length >= 4 * chunkBytes));
    t.true(brought > 512);
  });
}

rootTest('an unexpected mebibyte that is read in a row is asked for with its first page, in parts, the page first', async (t) => {
  const count = 1024;
  const pages = Array.from({length: 256}, (_, n) => first + 300 + n);
  const held = Promise.withResolvers<void>();
  await using lab = await coldLab(count, async (part, {arrive}) => {
    await held.promise;
    arrive(part);
  });
  lab.arriveIndex();
  const {app} = await lab.wake();
  await app.ask(['readLater', pages, 1]);
  await until(() => lab.wanted.length >= 5, {what: 'what lies behind to be asked for'});
  // Nothing has arrived, so no second page was touched.
  const asked = lab.wanted.map(({position, length, urgent}) => ({position, length, urgent}));
  const [page] = asked;
  t.true(page?.urgent === true && page.length === chunkBytes);
  const behind = (page?.position ?? 0) + chunkBytes;
  t.deepEqual(
    asked.slice(1),
    [0, 1, 2, 3].map((part) => ({position: behind + part * 2 * chunkBytes, length: 2 * chunkBytes, urgent: false})),
  );
  held.resolve();
  t.deepEqual(await app.ask(['laterResults']), [pages.map(crcOf)]);
  // One that is waited for although it is under way is asked for again, which costs nothing; anything else would be a second round trip.
  const end = behind + 8 * chunkBytes;
  t.true(lab.wanted.slice(5).every(({urgent, position}) => (urgent ? position < end : position >= end)));
});

rootTest('pages that are read in no order have no more than two mebibytes fetched ahead in vain', async (t) => {
  const count = 4096;
  await using lab = await coldLab(count, async (part, {arrive}) => arrive(part));
  lab.arriveIndex();
  const {app} = await lab.wake();
  const pages = Array.from({length: 60}, (_, n) => first + ((n * 1601) % count));
  await app.ask(['readLater', pages, 1]);
  t.deepEqual(await app.ask(['laterResults']), [pages.map(crcOf)]);
  const ahead = lab.wanted.filter(({urgent}) => !urgent).reduce((sum, {length}) => sum + length, 0);
  t.log(`${ahead} bytes ahead`);
  t.true(ahead <= 2 * 8 * chunkBytes);
});

rootTest('guesses that were right are followed by others', async (t) => {
  const count = 4096;
  await using lab = await coldLab(count, async (part, {arrive}) => arrive(part));
  lab.arriveIndex();
  const {app} = await lab.wake();
  for (const start of [0, 1000, 2000, 3000]) {
    const before = lab.wanted.length;
    t.deepEqual(await app.ask(['read', first + start, 1]), [crcOf(first + start)]);
    const aheadBytes = (): number => lab.wanted.slice(before).reduce((sum, {urgent, length}) => sum + (urgent ? 0 : length), 0);
    await until(() => aheadBytes() === 8 * chunkBytes, {what: `a guess from page ${start} on`});
    t.deepEqual(await app.ask(['read', first + start, 200]), crcs(first + start, 200));
  }
});

rootTest('nothing is guessed while much else is under way', async (t) => {
  const held = Promise.withResolvers<void>();
  await using lab = await coldLab(6144, async (part, {arrive}) => {
    if (!part.urgent) await held.promise;
    arrive(part);
  });
  lab.arriveIndex();
  const {app} = await lab.wake({predicted: 17 * 256});
  await until(() => lab.wanted.length >= 17, {what: 'the expected pages to be asked for'});
  const expected = lab.wanted.length;
  t.deepEqual(await app.ask(['read', first + 5500, 1]), [crcOf(first + 5500)]);
  t.deepEqual(
    lab.wanted.slice(expected).map(({urgent}) => urgent),
    [true],
  );
  held.resolve();
});

rootTest('without read-ahead nothing but what is touched is fetched', async (t) => {
  await using lab = await coldLab(1024, async (part, {arrive}) => arrive(part));
  lab.arriveIndex();
  const {app} = await lab.wake({readAhead: false});
  t.deepEqual(await app.ask(['read', first, 100]), crcs(first, 100));
  t.true(lab.wanted.every(({urgent, length}) => urgent && length === chunkBytes));
});
