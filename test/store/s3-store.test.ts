import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test from 'ava';
import {run} from '../../src/core/command.ts';
import {createLog} from '../../src/core/log.ts';
import type {S3Limits, S3Store} from '../../src/store/s3-options.ts';
import {openS3Store} from '../../src/store/s3-store.ts';
import {faultProxy} from '../helpers/fault-proxy.ts';
import {hasS3Server, type S3Server, s3Credentials, startS3Server} from '../helpers/s3-server.ts';
import {s3Test} from '../helpers/s3-test.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {tlsProxy} from '../helpers/tls-proxy.ts';
import {objectStoreConformance} from './object-store-conformance.ts';

Object.assign(process.env, s3Credentials);
const log = createLog('silent');

const opened: {server?: S3Server} = {};
let buckets = 0;

async function server(): Promise<S3Server> {
  if (opened.server === undefined) throw new Error('not started');
  return Promise.resolve(opened.server);
}

if (hasS3Server) {
  test.before(async () => {
    opened.server = await startS3Server();
  });
  test.after.always(async () => {
    await opened.server?.[Symbol.asyncDispose]();
  });
}

async function newBucket(): Promise<string> {
  const name = `bucket-${++buckets}`;
  await (await server()).createBucket(name);
  return name;
}

async function openBucket(bucket: string, settings: {limits?: Partial<S3Limits>; prefix?: string; endpoint?: string} = {}): Promise<S3Store> {
  const {prefix = 'some/prefix', endpoint = (await server()).endpoint, limits = {}} = settings;
  return openS3Store({bucket, prefix, endpoint, region: null, pathStyle: true, log, limits: {hedgeAfterAtLeastMs: 60_000, ...limits}});
}

objectStoreConformance(s3Test, 's3', async () => {
  const store = await openBucket(await newBucket());
  return {store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]()};
});

s3Test('s3: stores with different prefixes in one bucket do not see each other', async (t) => {
  const bucket = await newBucket();
  await using a = await openBucket(bucket, {prefix: 'a'});
  await using ab = await openBucket(bucket, {prefix: 'ab'});
  await using all = await openBucket(bucket, {prefix: ''});
  await a.put('x', Buffer.from('1'));
  await ab.put('x', Buffer.from('22'));
  t.deepEqual(await a.list(''), [{key: 'x', sizeBytes: 1}]);
  t.deepEqual(await ab.list(''), [{key: 'x', sizeBytes: 2}]);
  t.deepEqual(
    (await all.list('')).map(({key}) => key),
    ['a/x', 'ab/x'],
  );
  await all.check();
});

s3Test('s3: list() goes on where an answer ends', async (t) => {
  const bucket = await newBucket();
  await using store = await openBucket(bucket);
  const keys = Array.from({length: 1010}, (_, at) => `k${String(at).padStart(5, '0')}`);
  for (let at = 0; at < keys.length; at += 50) await Promise.all(keys.slice(at, at + 50).map((key) => store.put(key, new Uint8Array(1))));
  t.deepEqual(
    (await store.list('')).map(({key}) => key),
    keys,
  );
});

s3Test('s3: ranges at the edges of an object are exact, and counted', async (t) => {
  await using store = await openBucket(await newBucket());
  const data = Buffer.from(Array.from({length: 100_000}, (_, at) => at % 251));
  await store.put('k', data);
  for (const [position, length] of [
    [0, 1],
    [0, 100_000],
    [99_999, 1],
    [65_535, 2],
  ] as const)
    t.true((await store.get('k', {position, length})).equals(data.subarray(position, position + length)));
  for (const position of [99_999, 100_000, 200_000]) await t.throwsAsync(store.get('k', {position, length: 2}), {code: 'ERR_OBJECT_TRUNCATED'});
  t.like(store.stats(), {bytesWritten: 100_000, bytesRead: 100_004, requests: 8, retries: 0, failures: 0});
});

s3Test('s3: a body that ends where a part ends makes no empty part', async (t) => {
  const partBytes = 5 * 1024 ** 2;
  await using store = await openBucket(await newBucket(), {limits: {partBytes}});
  async function* body(sizeBytes: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < sizeBytes; at += partBytes / 5) {
      await Promise.resolve();
      yield Buffer.alloc(partBytes / 5, at / partBytes);
    }
  }
  t.is(await store.put('one', body(partBytes)), partBytes);
  t.is(await store.put('two', body(2 * partBytes)), 2 * partBytes);
  t.is(await store.put('none', body(0)), 0);
  t.deepEqual(
    (await store.list('')).map(({sizeBytes}) => sizeBytes),
    [0, partBytes, 2 * partBytes],
  );
  // PUT, PUT and LIST; create, two parts, complete.
  t.is(store.stats().requests, 7);
});

/** What a process says that uses the bucket with this environment. */
async function use(endpoint: string, bucket: string, env: Readonly<Record<string, string | undefined>>): Promise<string> {
  const program = fileURLToPath(new URL('s3-use.ts', import.meta.url));
  const nothing = {AWS_CONFIG_FILE: '/nonexistent', AWS_SHARED_CREDENTIALS_FILE: '/nonexistent', AWS_EC2_METADATA_DISABLED: 'true'};
  const without = {AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined, AWS_REGION: undefined, AWS_PROFILE: undefined};
  return (await run([process.execPath, program, endpoint, bucket], {timeoutMs: 30_000, env: {...process.env, ...without, ...nothing, ...env}})).stdout;
}

s3Test('s3: TLS with an authority of our own works when its file is named, and says so when not', async (t) => {
  await using directory = await temporaryDirectory();
  const bucket = await newBucket();
  await using proxy = await tlsProxy((await server()).port, directory.path);
  t.is(await use(proxy.endpoint, bucket, {...s3Credentials, NODE_EXTRA_CA_CERTS: proxy.caFile}), 'hello');
  t.regex(await use(proxy.endpoint, bucket, s3Credentials), /its certificate is not accepted .*NODE_EXTRA_CA_CERTS/);
});

s3Test('s3: credentials come from the files of AWS too, and their absence is named', async (t) => {
  await using directory = await temporaryDirectory();
  const bucket = await newBucket();
  await using proxy = await faultProxy((await server()).port);
  const file = join(directory.path, 'credentials');
  await writeFile(file, '[default]\naws_access_key_id = FROMFILE\naws_secret_access_key = secret\n');
  t.is(await use(proxy.endpoint, bucket, {AWS_SHARED_CREDENTIALS_FILE: file}), 'hello');
  t.regex(proxy.seen[0]?.authorization ?? '', /Credential=FROMFILE\/\d+\/us-east-1\//);
  t.regex(await use(proxy.endpoint, bucket, {}), /no credentials; set AWS_ACCESS_KEY_ID/);
});

test("s3: without an endpoint and a region Amazon's cannot be used", async (t) => {
  t.regex(await use('', 'bucket', {AWS_ACCESS_KEY_ID: 'x', AWS_SECRET_ACCESS_KEY: 'y'}), /^Cannot use bucket "bucket": no region is known .*AWS_REGION/);
});
