/** The store on S3 behind a proxy that answers with errors, loses answers, goes silent and cuts. */
import test from 'ava';
import {CodedError, errorMessage} from '../../src/core/errors.ts';
import {createLog} from '../../src/core/log.ts';
import {ObjectStoreError} from '../../src/store/object-store.ts';
import type {S3Limits, S3Store} from '../../src/store/s3-options.ts';
import {openS3Store} from '../../src/store/s3-store.ts';
import {type Fault, type FaultProxy, faultProxy, firstOnes, type SeenRequest} from '../helpers/fault-proxy.ts';
import {hasS3Server, type S3Server, s3Credentials, startS3Server} from '../helpers/s3-server.ts';
import {s3Test} from '../helpers/s3-test.ts';
import {until} from '../helpers/until.ts';
import {webServer} from '../helpers/web-server.ts';

Object.assign(process.env, s3Credentials);
const mebibyte = 1024 ** 2;
const denied: Fault = {kind: 'answer', status: 403, code: 'AccessDenied'};
const failing: Fault = {kind: 'answer', status: 500, code: 'InternalError'};
const busy: Fault = {kind: 'answer', status: 503, code: 'SlowDown'};
const conflict: Fault = {kind: 'answer', status: 409, code: 'ConditionalRequestConflict'};
const quick: Partial<S3Limits> = {silenceTimeoutMs: 10_000, longestPauseMs: 5, attempts: 3, hedgeAfterAtLeastMs: 60_000};

const shared: {server?: S3Server} = {};
let buckets = 0;

if (hasS3Server) {
  test.before(async () => {
    shared.server = await startS3Server();
  });
  test.after.always(async () => {
    await shared.server?.[Symbol.asyncDispose]();
  });
}

interface Lab extends AsyncDisposable {
  readonly proxy: FaultProxy;
  readonly store: S3Store;
  readonly bucket: string;
  readonly server: S3Server;
}

async function lab(limits: Partial<S3Limits> = {}): Promise<Lab> {
  await using scope = new AsyncDisposableStack();
  const {server} = shared;
  if (server === undefined) throw new Error('not started');
  const bucket = `faults-${++buckets}`;
  await server.createBucket(bucket);
  const proxy = scope.use(await faultProxy(server.port));
  const options = {bucket, prefix: 'p', endpoint: proxy.endpoint, region: null, pathStyle: true, log: createLog('silent')};
  const store = scope.use(await openS3Store({...options, limits: {...quick, ...limits}}));
  const owned = scope.move();
  return {proxy, store, bucket, server, [Symbol.asyncDispose]: () => owned.disposeAsync()};
}

async function failure(promise: Promise<unknown>): Promise<CodedError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof CodedError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

const isGet = ({method}: SeenRequest): boolean => method === 'GET';
const isPut = ({method}: SeenRequest): boolean => method === 'PUT';
const isComplete = ({method, url}: SeenRequest): boolean => method === 'POST' && url.includes('uploadId');
const everything = (fault: Fault) => (): Fault => fault;
const count = (proxy: FaultProxy, matches: (request: SeenRequest) => boolean): number => proxy.seen.filter(matches).length;

async function uploads({server, bucket}: Lab): Promise<number> {
  const text = await (await fetch(`${server.endpoint}/${bucket}?uploads`)).text();
  return text.split('<Upload>').length - 1;
}

for (const [name, fault] of Object.entries({failing, busy, reset: {kind: 'reset'}, silence: {kind: 'silence'}} satisfies Record<string, Fault>)) {
  s3Test(`s3: every kind of request survives one answer of kind ${name}`, async (t) => {
    await using used = await lab(name === 'silence' ? {silenceTimeoutMs: 1000} : {});
    const {proxy, store} = used;
    const once = (): void => {
      proxy.decide = firstOnes(() => true, fault);
    };
    once();
    t.is(await store.put('k', Buffer.from('abc')), 3);
    once();
    t.is((await store.get('k')).toString(), 'abc');
    once();
    t.is((await store.get('k', {position: 1, length: 2})).toString(), 'bc');
    once();
    t.is(await store.size('k'), 3);
    once();
    t.deepEqual(await store.list(''), [{key: 'k', sizeBytes: 3}]);
    once();
    await store.delete('k');
    const {retries, failures, requests} = store.stats();
    t.is(failures, 0);
    t.is(requests, 6 + retries);
    // On a busy machine the server may be silent for longer too.
    if (name === 'silence') t.true(retries >= 6);
    else t.is(retries, 6);
  });

  s3Test(`s3: nothing but answers of kind ${name} is a failure that may pass`, async (t) => {
    await using used = await lab(name === 'silence' ? {silenceTimeoutMs: 50} : {});
    const {proxy, store, bucket} = used;
    proxy.decide = everything(fault);
    for (const operation of [() => store.get('k'), () => store.put('k', Buffer.from('x')), () => store.list(''), () => store.check(), () => store.size('k')]) {
      const error = await failure(operation());
      t.is(error.code, 'ERR_STORE_FAILED');
      t.true(error.retryable, error.message);
      t.true(error.message.includes(`bucket "${bucket}" at ${proxy.endpoint}`), error.message);
    }
    t.like(store.stats(), {requests: 15, retries: 10, failures: 5});
  });
}

s3Test('s3: access that is denied is told at once, with what is needed', async (t) => {
  await using used = await lab();
  used.proxy.decide = everything(denied);
  const error = await failure(used.store.get('k'));
  t.is(error.code, 'ERR_STORE_FAILED');
  t.false(error.retryable);
  t.regex(error.message, /^Cannot read object "k" in bucket "faults-\d+" at http:\S+: access is denied; these credentials need .*s3:ListBucket/);
  // The client of AWS is asked too, because it can tell more than a status; nothing is repeated.
  t.is(used.proxy.seen.length, 2);
});

s3Test('s3: an object that is not there is asked for once, on a connection that serves on; a 404 that does not say so is asked about', async (t) => {
  await using used = await lab();
  const {proxy, store} = used;
  await store.put('k', Buffer.from('abc'));
  for (let times = 0; times < 3; times++) t.is((await failure(store.get('absent'))).code, 'ERR_NO_OBJECT');
  t.is((await store.get('k')).toString(), 'abc');
  t.is(count(proxy, isGet), 4);
  proxy.decide = everything({kind: 'answer', status: 404, code: 'NoSuchBucket'});
  t.regex((await failure(store.get('k'))).message, /the bucket does not exist/);
  t.is(count(proxy, isGet), 6);
});

s3Test('s3: a clock that is wrong is called that', async (t) => {
  await using used = await lab();
  used.proxy.decide = everything({kind: 'answer', status: 403, code: 'RequestTimeTooSkewed'});
  const error = await failure(used.store.put('k', Buffer.from('x')));
  t.false(error.retryable);
  t.regex(error.message, /the clock of this machine differs .*; set the clock/);
});

s3Test('s3: a missing bucket is never taken for a missing object', async (t) => {
  await using used = await lab();
  const {proxy} = used;
  const options = {bucket: 'nowhere', prefix: '', endpoint: proxy.endpoint, region: null, pathStyle: true, log: createLog('silent')};
  await using store = await openS3Store({...options, limits: quick});
  for (const operation of [() => store.get('k'), () => store.size('k'), () => store.put('k', Buffer.from('x')), () => store.list(''), () => store.check()]) {
    const error = await failure(operation());
    t.is(error.code, 'ERR_STORE_FAILED');
    t.false(error.retryable);
    t.regex(error.message, /bucket "nowhere".*does not exist; create it or correct 'store'/);
  }
});

s3Test('s3: a server that is not there is unreachable, not denied', async (t) => {
  await using used = await lab();
  const {proxy, store} = used;
  await proxy[Symbol.asyncDispose]();
  const error = await failure(store.check());
  t.true(error.retryable);
  t.regex(errorMessage(error), /ECONNREFUSED/);
});

for (const kind of ['cut', 'stall'] as const) {
  s3Test(`s3: an answer with a ${kind} in its body is asked for again and comes back exact`, async (t) => {
    await using used = await lab(kind === 'stall' ? {silenceTimeoutMs: 1000, attempts: 5} : {attempts: 5});
    const data = Buffer.from(Array.from({length: 3 * mebibyte}, (_, at) => at % 251));
    await used.store.put('k', data);
    used.proxy.decide = firstOnes(isGet, {kind, afterBytes: mebibyte});
    t.true((await used.store.get('k', {position: 7, length: 2 * mebibyte})).equals(data.subarray(7, 7 + 2 * mebibyte)));
    used.proxy.decide = firstOnes(isGet, {kind, afterBytes: 1}, {kind, afterBytes: 2 * mebibyte});
    t.true((await used.store.get('k')).equals(data));
    t.true(used.store.stats().retries >= 3);
  });
}

s3Test('s3: a conditional put whose answer is lost has succeeded, and one of another writer has not', async (t) => {
  await using used = await lab();
  const {proxy, store} = used;
  proxy.decide = firstOnes(isPut, {kind: 'lost answer'}, {kind: 'lost answer'});
  t.is(await store.put('mine', Buffer.from('x'), {ifAbsent: true}), 1);
  t.is(count(proxy, isPut), 3);
  proxy.decide = firstOnes(isPut, {kind: 'lost answer'});
  t.is((await failure(store.put('mine', Buffer.from('y'), {ifAbsent: true}))).code, 'ERR_OBJECT_EXISTS');
  t.is((await store.get('mine')).toString(), 'x');
});

s3Test('s3: a conditional put that meets another one waits for its end', async (t) => {
  await using used = await lab();
  const {proxy, store} = used;
  proxy.decide = firstOnes(isPut, conflict, conflict);
  t.is(await store.put('k', Buffer.from('x'), {ifAbsent: true}), 1);
  proxy.decide = firstOnes(isPut, conflict);
  t.is((await failure(store.put('k', Buffer.from('y'), {ifAbsent: true}))).code, 'ERR_OBJECT_EXISTS');
});

const parts = 5 * mebibyte;

s3Test('s3: an upload in parts survives failures and a lost last answer', async (t) => {
  await using used = await lab({partBytes: parts});
  const {proxy, store} = used;
  const data = Buffer.alloc(3 * parts + 1, 'abcdefg');
  const lost: Fault = {kind: 'lost answer'};
  const inParts = firstOnes((request) => isPut(request) && request.url.includes('partNumber'), failing, {kind: 'reset'});
  const last = firstOnes(isComplete, lost);
  proxy.decide = (request) => inParts(request) ?? last(request);
  t.is(await store.put('k', data, {ifAbsent: true}), data.length);
  t.true((await store.get('k')).equals(data));
  t.is(await uploads(used), 0);
  t.is((await failure(store.put('k', data, {ifAbsent: true}))).code, 'ERR_OBJECT_EXISTS');
  t.is(await uploads(used), 0);
});

s3Test('s3: an upload in parts that fails is taken back', async (t) => {
  await using used = await lab({partBytes: parts});
  const {proxy, store} = used;
  proxy.decide = (request) => (request.url.includes('partNumber=3') ? denied : null);
  t.regex((await failure(store.put('k', Buffer.alloc(3 * parts)))).message, /access is denied/);
  t.is(await uploads(used), 0);
  t.deepEqual(await store.list(''), []);
});

s3Test('s3: an upload holds a few parts in memory however fast its body is', async (t) => {
  await using used = await lab({partBytes: parts, silenceTimeoutMs: 60_000});
  const {proxy, store} = used;
  const abort = new AbortController();
  proxy.decide = (request) => (request.url.includes('partNumber') ? {kind: 'silence'} : null);
  let made = 0;
  async function* body(): AsyncGenerator<Uint8Array> {
    for (; made < 100 * mebibyte; made += mebibyte) {
      await Promise.resolve();
      yield Buffer.alloc(mebibyte);
    }
  }
  const failed = t.throwsAsync(store.put('k', body(), {signal: abort.signal}), {name: 'AbortError'});
  await until(() => count(proxy, ({url}) => url.includes('partNumber')) === 4);
  t.true(made <= 5 * parts + mebibyte, `${made / mebibyte} MiB`);
  abort.abort();
  await failed;
  t.is(await uploads(used), 0);
});

s3Test('s3: a slow answer is asked for a second time, and the first answer counts', async (t) => {
  await using used = await lab({hedgeAfterAtLeastMs: 10, silenceTimeoutMs: 20_000});
  const {proxy, store} = used;
  await store.put('k', Buffer.alloc(4096, 7));
  const range = {position: 0, length: 4096};
  for (let at = 0; at < 12; at++) await store.get('k', range);
  const before = store.stats();
  proxy.decide = firstOnes(isGet, {kind: 'silence'});
  t.is((await store.get('k', range)).length, 4096);
  const after = store.stats();
  t.is(after.hedges - before.hedges, 1);
  t.is(after.hedgesWon - before.hedgesWon, 1);
  t.is(after.retries, before.retries);
});

s3Test('s3: a server that is slow altogether is not asked twice for everything', async (t) => {
  await using used = await lab({hedgeAfterAtLeastMs: 1, silenceTimeoutMs: 20_000});
  const {proxy, store} = used;
  await store.put('k', Buffer.alloc(4096, 7));
  const range = {position: 0, length: 4096};
  for (let at = 0; at < 12; at++) await store.get('k', range);
  const before = store.stats();
  proxy.decide = (request) => (isGet(request) ? {kind: 'delay', delayMs: 300} : null);
  await Promise.all(Array.from({length: 40}, () => store.get('k', range)));
  t.true(store.stats().hedges - before.hedges <= 14, `${store.stats().hedges - before.hedges}`);
});

s3Test('s3: closing the store ends what is under way', async (t) => {
  await using used = await lab({silenceTimeoutMs: 60_000});
  used.proxy.decide = everything({kind: 'silence'});
  const reading = failure(used.store.get('k'));
  await until(() => used.proxy.seen.length === 1);
  await used.store[Symbol.asyncDispose]();
  t.is((await reading).code, 'ERR_STORE_CLOSED');
  t.is((await failure(used.store.size('k'))).code, 'ERR_STORE_CLOSED');
  t.false(new ObjectStoreError('ERR_NO_OBJECT', '', {key: 'k'}).retryable);
});

const pages = {
  'an error page': {status: 502, body: '<html><body>Bad<br>Gateway</body></html>'},
  'a page of something else': {status: 200, body: '<html><body>Welcome<br></body></html>'},
  nothing: {status: 200, body: ''},
  'a page that says that there is none': {status: 404, body: 'no such page'},
  'an empty page that says that there is none': {status: 404, body: ''},
} as const;

for (const [name, page] of Object.entries(pages)) {
  test(`s3: ${name} is never taken for an answer of S3`, async (t) => {
    await using server = await webServer(page);
    const options = {bucket: 'bucket', prefix: '', endpoint: server.endpoint, region: null, pathStyle: true, log: createLog('silent')};
    await using store = await openS3Store({...options, limits: {...quick, partBytes: parts}});
    const body = Buffer.alloc(2 * parts);
    const all = [() => store.get('k'), () => store.get('k', {position: 0, length: 5}), () => store.size('k'), () => store.list('')];
    for (const operation of [...all, () => store.check(), () => store.put('k', Buffer.from('x')), () => store.put('k', body)]) {
      const {code, message} = await failure(operation());
      t.is(code, 'ERR_STORE_FAILED', message);
      t.false(message.includes('\n'));
    }
  });
}
