import test from 'ava';
import {appName, fencingToken, generation} from '../../src/core/ids.ts';
import {type AppRecord, appStates, decodeRecord, encodeFields, encodeRecord, residencies, sleepCauses} from '../../src/store/app-record.ts';
import {type Json, parseJson} from '../../src/store/json.ts';
import {openLeases} from '../../src/store/lease.ts';
import {openState} from '../../src/store/state.ts';
import {fc} from '../helpers/properties.ts';
import {freshFields, testRedis} from './test-redis.ts';

const blog = appName('blog');
async function owned(redis: Awaited<ReturnType<typeof testRedis>>) {
  const state = openState(redis.connection);
  const leases = openLeases(redis.connection);
  await state.ensureApp(blog, freshFields);
  const acquired = await leases.acquire(blog, {worker: 'w1', ttlMs: 60_000});
  if (acquired.kind !== 'acquired') throw new Error('the lease is held');
  return {state, leases, token: acquired.token};
}

test('ensureApp() creates a record once and gives each app an index that it keeps', async (t) => {
  await using redis = await testRedis();
  const state = openState(redis.connection);
  const [first, second] = [await state.ensureApp(blog, freshFields), await state.ensureApp(appName('wiki:1.x'), freshFields)];
  t.deepEqual([first.index, second.index], [0, 1]);
  t.deepEqual(await state.ensureApp(blog, {...freshFields, state: 'failed'}), first);
  const names = Array.from({length: 20}, (_, at) => appName(`app-${at}`));
  const records = await Promise.all([...names, ...names].map((name) => state.ensureApp(name, freshFields)));
  t.is(new Set(records.map(({index}) => index)).size, 20);
  await state.forgetApp(blog);
  t.is(await state.readApp(blog), null);
  t.is((await state.ensureApp(appName('new'), freshFields)).index, 0);
  t.deepEqual([...(await state.listApps()).keys()].slice(-2), [appName('new'), appName('wiki:1.x')]);
});

test('ensureApps() gives an index to whoever needs that one before the others, and none twice', async (t) => {
  await using redis = await testRedis();
  const state = openState(redis.connection);
  const known = await state.ensureApp(blog, freshFields, 3);
  const wanted = {blog: 0, a: null, b: 0, c: 3, d: null, e: 7} as const;
  const apps = Object.entries(wanted).map(([name, wantedIndex]) => ({name: appName(name), fields: freshFields, wantedIndex}));
  const records = await state.ensureApps(apps);
  t.deepEqual(
    records.map(({name, index}) => [name, index]),
    [
      ['blog', 3],
      ['a', 2],
      ['b', 0],
      ['c', 1],
      ['d', 4],
      ['e', 7],
    ],
  );
  t.deepEqual(records[0], known);
  t.deepEqual(await state.ensureApps(apps), records);
  t.deepEqual(await state.readApps([appName('e'), appName('unknown'), appName('a')]), [records[5] ?? null, null, records[1] ?? null]);
});

test('updateApp() merges fields, and rejects an older and an unknown token', async (t) => {
  await using redis = await testRedis();
  const {state, leases, token} = await owned(redis);
  await state.updateApp(blog, token, {state: 'reviving', worker: 'w1', details: {layers: ['a', 'b']}});
  await state.updateApp(blog, token, {state: 'running', residency: 'hot', lastError: {at: 5, message: 'Grüße\n'}});
  const record = await state.readApp(blog);
  t.like(record, {state: 'running', residency: 'hot', worker: 'w1', details: {layers: ['a', 'b']}, lastError: {at: 5, message: 'Grüße\n'}, index: 0});
  await leases.acquire(blog, {worker: 'w1', ttlMs: 60_000, takeOverOwn: true});
  await t.throwsAsync(state.updateApp(blog, token, {state: 'failed'}), {
    code: 'ERR_OLD_TOKEN',
    message: new RegExp(`newer owner, with token \\d+ after ${token}`),
  });
  await t.throwsAsync(state.updateApp(blog, fencingToken(token + 99_999), {state: 'failed'}), {code: 'ERR_UNKNOWN_TOKEN'});
  t.is((await state.readApp(blog))?.state, 'running');
  await t.throwsAsync(state.updateApp(appName('none'), fencingToken(1), {state: 'failed'}), {code: 'ERR_UNKNOWN_TOKEN'});
});

test('setPin() needs no lease, stays over changes of the owner, and fails for an app that is not known', async (t) => {
  await using redis = await testRedis();
  const {state, token} = await owned(redis);
  t.is((await state.readApp(blog))?.pin, null);
  await state.setPin(blog, {until: 5000});
  await state.updateApp(blog, token, {state: 'running'});
  await state.commitGeneration(blog, token, {parent: null, generation: generation(1)});
  t.deepEqual((await state.readApp(blog))?.pin, {until: 5000});
  await state.setPin(blog, {until: null});
  t.deepEqual((await state.readApp(blog))?.pin, {until: null});
  await state.setPin(blog, null);
  t.is((await state.readApp(blog))?.pin, null);
  await t.throwsAsync(state.setPin(appName('none'), null), {code: 'ERR_UNKNOWN_APP'});
});

test('commitGeneration() moves the pointer from the expected parent only, and may be repeated by its owner', async (t) => {
  await using redis = await testRedis();
  const {state, leases, token} = await owned(redis);
  const [one, two, three] = [generation(1), generation(2), generation(3)];
  await state.commitGeneration(blog, token, {parent: null, generation: one, fields: {residency: 'warm'}});
  await state.commitGeneration(blog, token, {parent: null, generation: one});
  await t.throwsAsync(state.commitGeneration(blog, token, {parent: null, generation: two}), {
    code: 'ERR_GENERATION_CONFLICT',
    message: /newest checkpoint is 1$/,
  });
  await state.commitGeneration(blog, token, {parent: one, generation: two, fields: {state: 'hibernated'}});
  t.like(await state.readApp(blog), {generation: two, residency: 'warm', state: 'hibernated'});
  await leases.acquire(blog, {worker: 'w1', ttlMs: 60_000, takeOverOwn: true});
  await t.throwsAsync(state.commitGeneration(blog, token, {parent: two, generation: three}), {code: 'ERR_OLD_TOKEN'});
  t.is((await state.readApp(blog))?.generation, two);
});

test('one of fifty concurrent commits from the same parent wins', async (t) => {
  await using redis = await testRedis();
  const {state, token} = await owned(redis);
  const attempts = Array.from({length: 50}, (_, at) => state.commitGeneration(blog, token, {parent: null, generation: generation(at + 1)}));
  const results = await Promise.allSettled(attempts);
  t.is(results.filter(({status}) => status === 'fulfilled').length, 1);
});

test('restoreApp() rebuilds an emptied Redis, and never goes back behind what it knows', async (t) => {
  await using redis = await testRedis();
  const {state, leases, token} = await owned(redis);
  await state.commitGeneration(blog, token, {parent: null, generation: generation(7), fields: {state: 'hibernated'}});
  const record = await state.readApp(blog);
  if (record === null) return t.fail('no record');
  await redis.connection.call('FLUSHALL');
  await t.throwsAsync(state.updateApp(blog, token, {state: 'running'}), {code: 'ERR_UNKNOWN_TOKEN'});
  const highest = fencingToken(token + 3_600_000);
  t.is(await state.restoreApp(record, highest), 'restored');
  t.deepEqual(await state.readApp(blog), record);
  t.is(await state.newestToken(blog), highest);
  t.like(await leases.acquire(blog, {worker: 'w2', ttlMs: 1000}), {token: highest + 1});
  t.is(await state.restoreApp({...record, generation: generation(6), state: 'failed'}, fencingToken(3)), 'kept');
  t.like(await state.readApp(blog), {generation: 7, state: 'hibernated'});
  t.is(await state.newestToken(blog), highest + 1);
});

test('a damaged value is reported with its key, and does not hide the other apps', async (t) => {
  await using redis = await testRedis();
  const {state, token} = await owned(redis);
  await state.ensureApp(appName('wiki'), freshFields);
  const key = 'picogate:{blog}:app';
  for (const [field, value, message] of [
    ['state', 'asleep', /key "picogate:\{blog\}:app": field "state" is "asleep", not one of hibernated/],
    ['generation', '1.5', /field "generation" is "1.5"/],
    ['generation', '0', /field "generation" is "0"/],
    ['index', '-1', /field "index"/],
    ['lastWake', '{"at":1}', /field "lastWake"/],
    ['lastHibernate', '{', /field "lastHibernate" is "\{"/],
    ['lastError', '7', /field "lastError"/],
    ['lastExit', '{"kind":"exited","at":1}', /field "lastExit"/],
    ['details', '', /field "details"/],
  ] as const) {
    const before = await redis.connection.call('HGET', key, field);
    await redis.connection.call('HSET', key, field, value);
    await t.throwsAsync(state.readApp(blog), {code: 'ERR_BAD_STATE', message});
    await redis.connection.call('HSET', key, field, String(before));
  }
  await redis.connection.call('HDEL', key, 'since');
  await t.throwsAsync(state.readApp(blog), {code: 'ERR_BAD_STATE', message: /field "since" is missing/});
  const apps = await state.listApps();
  t.true(apps.get(blog) instanceof Error);
  t.like(apps.get(appName('wiki')), {name: 'wiki', state: 'stopped'});
  await state.updateApp(blog, token, {since: 5});
  t.is((await state.readApp(blog))?.since, 5);
  await redis.connection.call('SET', 'picogate:{other}:app', 'x');
  await t.throwsAsync(state.readApp(appName('other')), {code: 'ERR_REDIS_COMMAND', message: /WRONGTYPE/});
});

test('two states with different prefixes do not see each other', async (t) => {
  await using redis = await testRedis();
  await openState(redis.connection, {prefix: 'one'}).ensureApp(blog, freshFields);
  t.is(await openState(redis.connection, {prefix: 'two'}).readApp(blog), null);
  t.throws(() => openState(redis.connection, {prefix: 'a{b'}), {code: 'ERR_BAD_NAME'});
});

const count = fc.nat({max: Number.MAX_SAFE_INTEGER});
const duration = fc.double({min: 0, max: 1e9, noNaN: true}).map((value) => value + 0);
const records: fc.Arbitrary<AppRecord> = fc.record({
  name: fc.constant(blog),
  state: fc.constantFrom(...appStates),
  residency: fc.constantFrom(...residencies),
  generation: fc.option(fc.integer({min: 1}).map(generation)),
  worker: fc.option(fc.string({minLength: 1})),
  index: count,
  since: count,
  lastWake: fc.option(
    fc.oneof(
      fc.record({at: count, ms: duration, trigger: fc.string(), predictedPages: count, faults: count}),
      fc.record({at: count, ms: duration, trigger: fc.string(), predictedPages: count, faults: count, installedPages: count}),
    ),
  ),
  lastHibernate: fc.option(fc.record({at: count, ms: duration, frozenMs: duration, bytesWritten: count, cause: fc.constantFrom(...sleepCauses)})),
  lastError: fc.option(fc.record({at: count, message: fc.string()})),
  lastExit: fc.option(
    fc.oneof(
      fc.record({kind: fc.constant('exited' as const), code: count, at: count}),
      fc.record({kind: fc.constant('killed' as const), signal: fc.string(), at: count}),
      fc.record({kind: fc.constant('unknown' as const), at: count}),
    ),
  ),
  details: fc.json().map((text): Json => parseJson(text) ?? null),
  pin: fc.option(fc.record({until: fc.option(count)})),
});

function toMap(flat: readonly string[]): Map<string, string> {
  return new Map(flat.flatMap((field, at) => (at % 2 === 0 ? [[field, flat[at + 1] ?? '']] : [])));
}

test('decodeRecord() gives back every record that encodeRecord() wrote', (t) => {
  fc.assert(fc.property(records, (record) => t.deepEqual(decodeRecord(blog, 'key', toMap(encodeRecord(record))), record)));
  t.deepEqual(encodeFields({worker: null}), ['worker', '']);
});

test('decodeRecord() never returns a record from values that are not one', (t) => {
  const fields = encodeRecord({...freshFields, name: blog, index: 0, generation: null, pin: null}).filter((_, at) => at % 2 === 0);
  fc.assert(
    fc.property(fc.constantFrom(...fields), fc.string(), records, (field, junk, record) => {
      const hash = toMap(encodeRecord(record)).set(field, junk);
      try {
        const decoded = decodeRecord(blog, 'key', hash);
        t.deepEqual(decodeRecord(blog, 'key', toMap(encodeRecord(decoded))), decoded);
      } catch (error) {
        t.like(error, {code: 'ERR_BAD_STATE'});
      }
    }),
  );
  t.pass();
});
