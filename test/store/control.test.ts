import test from 'ava';
import {CodedError} from '../../src/core/errors.ts';
import {callControl, serveControl} from '../../src/store/control.ts';
import {until} from '../helpers/until.ts';
import {silent, testRedis} from './test-redis.ts';

test('callControl() returns what the handler returned, many at once', async (t) => {
  await using redis = await testRedis();
  await using _server = await serveControl({connection: redis.connection, log: silent, handlers: {double: async (args) => Number(args) * 2}});
  const answers = await Promise.all(Array.from({length: 30}, (_, at) => callControl(redis.connection, 'double', at, {timeoutMs: 5000})));
  t.deepEqual(
    answers,
    Array.from({length: 30}, (_, at) => at * 2),
  );
  t.deepEqual(await redis.connection.call('KEYS', '*control*'), []);
});

test('an error of the handler reaches the caller with its code, message and kind', async (t) => {
  await using redis = await testRedis();
  const handlers = {
    async wake(): Promise<never> {
      throw new CodedError('ERR_WAKE', 'Cannot wake app "a": no memory', {source: 'host', retryable: true});
    },
    async bug(): Promise<never> {
      throw new TypeError('x is undefined');
    },
  };
  await using _server = await serveControl({connection: redis.connection, log: silent, handlers});
  const error = await t.throwsAsync(callControl(redis.connection, 'wake', {app: 'a'}, {timeoutMs: 5000}), {
    code: 'ERR_WAKE',
    message: 'Cannot wake app "a": no memory',
  });
  t.like(error, {source: 'host', retryable: true});
  await t.throwsAsync(callControl(redis.connection, 'bug', null, {timeoutMs: 5000}), {code: 'ERR_UNEXPECTED', message: 'x is undefined'});
  await t.throwsAsync(callControl(redis.connection, 'constructor', null, {timeoutMs: 5000}), {code: 'ERR_UNKNOWN_COMMAND'});
});

test('a command that no gateway takes is never executed later', async (t) => {
  await using redis = await testRedis();
  await t.throwsAsync(callControl(redis.connection, 'count', null, {timeoutMs: 60}), {code: 'ERR_NO_GATEWAY', message: /no gateway took it within 60 ms/});
  // A caller that was killed: its request expires by itself.
  await redis.connection.call('SET', 'picogate:{control}:request:dead', '{"command":"count","args":1,"timeoutMs":9}', 'PX', 1);
  await redis.connection.call('RPUSH', 'picogate:{control}:queue', 'dead');
  await until(async () => (await redis.connection.call('EXISTS', 'picogate:{control}:request:dead')) === 0);
  let executed = 0;
  await using _server = await serveControl({connection: redis.connection, log: silent, handlers: {count: async () => ++executed}});
  t.is(await callControl(redis.connection, 'count', null, {timeoutMs: 5000}), 1);
  t.is(executed, 1);
});

test('a command that takes too long is told from one that nobody took, and its signal aborts', async (t) => {
  await using redis = await testRedis();
  const {promise, resolve} = Promise.withResolvers<string>();
  const handlers = {
    wait: (_args: unknown, signal: AbortSignal) =>
      new Promise<null>((_, reject) => {
        signal.addEventListener('abort', () => {
          resolve('aborted');
          // Later than the caller gives up: an answer that comes in time would be told instead.
          setTimeout(() => reject(new Error('given up', {cause: signal.reason})), 500);
        });
      }),
  };
  await using _server = await serveControl({connection: redis.connection, log: silent, handlers});
  await t.throwsAsync(callControl(redis.connection, 'wait', null, {timeoutMs: 100}), {code: 'ERR_CONTROL_TIMEOUT'});
  t.is(await promise, 'aborted');
});

test('a server that stops aborts what runs and answers it', async (t) => {
  await using redis = await testRedis();
  const {promise: started, resolve: start} = Promise.withResolvers<null>();
  const handlers = {
    wait: (_args: unknown, signal: AbortSignal) =>
      new Promise<null>((_, reject) => {
        start(null);
        signal.addEventListener('abort', () => reject(signal.reason instanceof Error ? signal.reason : new Error('stopped')));
      }),
  };
  const server = await serveControl({connection: redis.connection, log: silent, handlers});
  const called = callControl(redis.connection, 'wait', null, {timeoutMs: 5000});
  await started;
  await server[Symbol.asyncDispose]();
  await t.throwsAsync(called, {code: 'ERR_STOPPING'});
});

test('a request that cannot be read is dropped, and the next is served', async (t) => {
  await using redis = await testRedis();
  await using _server = await serveControl({connection: redis.connection, log: silent, handlers: {echo: async (args) => args}});
  await redis.connection.call('SET', 'picogate:{control}:request:bad', '[1', 'PX', 5000);
  await redis.connection.call('RPUSH', 'picogate:{control}:queue', 'bad');
  t.deepEqual(await callControl(redis.connection, 'echo', {a: [1, null]}, {timeoutMs: 5000}), {a: [1, null]});
});

test('callControl() can be given up by its caller', async (t) => {
  await using redis = await testRedis();
  const stop = new AbortController();
  const called = callControl(redis.connection, 'none', null, {timeoutMs: 20_000, signal: stop.signal});
  await until(async () => (await redis.connection.call('LLEN', 'picogate:{control}:queue')) === 1);
  stop.abort(new Error('given up'));
  await t.throwsAsync(called, {message: 'given up'});
  t.deepEqual(await redis.connection.call('KEYS', '*request*'), []);
});
