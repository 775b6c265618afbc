import {mkdir, stat, writeFile} from 'node:fs/promises';
import test from 'ava';
import {run, startDaemon} from '../../src/core/command.ts';
import {appName} from '../../src/core/ids.ts';
import {connectRedis} from '../../src/store/connection.ts';
import {openLeases} from '../../src/store/lease.ts';
import {worksIn} from '../../src/store/redis-process.ts';
import {embeddedRedisPath, startEmbeddedRedis} from '../../src/store/redis-server.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {silent, testRedis} from './test-redis.ts';

test('startEmbeddedRedis() keeps everything over a restart', async (t) => {
  await using directory = await temporaryDirectory();
  const options = {stateDir: directory.path, runtimeDir: directory.path, log: silent};
  for (let at = 0; at < 3; at++) {
    await using server = await startEmbeddedRedis(options);
    await using connection = await connectRedis({url: server.url, log: silent});
    t.is(await connection.call('INCR', 'starts'), at + 1);
    t.like(await openLeases(connection).acquire(appName('a'), {worker: 'w', ttlMs: 60_000}), {kind: at === 0 ? 'acquired' : 'held'});
  }
});

test('the embedded Redis is private: a socket in a directory of mode 700, no TCP port', async (t) => {
  await using redis = await testRedis();
  t.is((await stat(`${redis.directory}/run/redis`)).mode & 0o777, 0o700);
  t.is((await stat(`${redis.directory}/redis`)).mode & 0o777, 0o700);
  const {stdout} = await run(['ss', '-Hltnp'], {timeoutMs: 5000});
  t.false(stdout.includes(`pid=${redis.server.pid()},`));
});

test('a second gateway in the same state directory is refused, and the first goes on', async (t) => {
  await using redis = await testRedis();
  const again = startEmbeddedRedis({stateDir: redis.directory, runtimeDir: `${redis.directory}/other`, log: silent});
  await t.throwsAsync(again, {code: 'ERR_IN_USE', message: /another gateway is using it/});
  t.is(await redis.connection.call('PING'), 'PONG');
});

test('the redis-server of a killed gateway is ended, and its data taken over', async (t) => {
  await using directory = await temporaryDirectory();
  const data = `${directory.path}/redis`;
  await mkdir(data);
  const socket = embeddedRedisPath(directory.path);
  const argv = [
    'redis-server',
    '--port',
    '0',
    '--unixsocket',
    socket,
    '--dir',
    data,
    '--appendonly',
    'yes',
    '--save',
    '',
    '--pidfile',
    `${data}/redis.pid`,
  ] as const;
  await using leftover = await startDaemon(argv, {stdio: 'ignore'});
  await using first = await connectRedis({url: `unix:${socket}`, log: silent, attempts: 8});
  await first.call('SET', 'kept', 'yes');
  await using server = await startEmbeddedRedis({stateDir: directory.path, runtimeDir: directory.path, log: silent});
  await leftover.exited;
  t.false(await worksIn(leftover.pid, data));
  await using connection = await connectRedis({url: server.url, log: silent});
  t.is(await connection.call('GET', 'kept'), 'yes');
});

test('a stale socket and a pidfile of another process do no harm', async (t) => {
  await using directory = await temporaryDirectory();
  await mkdir(`${directory.path}/redis`);
  await writeFile(embeddedRedisPath(directory.path), '');
  await writeFile(`${directory.path}/redis/redis.pid`, String(process.pid));
  await using server = await startEmbeddedRedis({stateDir: directory.path, runtimeDir: directory.path, log: silent});
  t.not(server.pid(), process.pid);
});

test('a runtime directory with a long name is refused with the reason', async (t) => {
  const runtimeDir = `/tmp/${'x'.repeat(100)}`;
  await t.throwsAsync(startEmbeddedRedis({stateDir: '/tmp/none', runtimeDir, log: silent}), {code: 'ERR_SOCKET_PATH', message: /122 bytes, at most 107/});
});

test('a Redis that cannot start says why', async (t) => {
  await using directory = await temporaryDirectory();
  await mkdir(`${directory.path}/redis/appendonlydir`, {recursive: true});
  await writeFile(`${directory.path}/redis/appendonlydir/appendonly.aof.manifest`, 'damaged\n');
  const started = startEmbeddedRedis({stateDir: directory.path, runtimeDir: directory.path, log: silent});
  await t.throwsAsync(started, {code: 'ERR_REDIS_START', message: /exit status 1: .*manifest/s});
});

test('Redis gone and back: commands fail at once, the server is started again, and onReconnect() tells', async (t) => {
  await using redis = await testRedis();
  let reconnects = 0;
  using _watch = redis.connection.onReconnect(() => reconnects++);
  await redis.connection.call('SET', 'a', '1');
  const killed = redis.server.pid();
  process.kill(killed, 'SIGSTOP');
  const inFlight = redis.connection.call('GET', 'a');
  process.kill(killed, 'SIGKILL');
  await t.throwsAsync(inFlight, {code: 'ERR_REDIS_UNAVAILABLE'});
  const beganMs = performance.now();
  await t.throwsAsync(redis.connection.call('GET', 'a'), {code: 'ERR_REDIS_UNAVAILABLE'});
  t.true(performance.now() - beganMs < 100);
  await until(() => reconnects === 1);
  t.is(await redis.connection.call('GET', 'a'), '1');
  t.not(redis.server.pid(), killed);
});

test('connectRedis() gives up after its attempts and names the URL without the password', async (t) => {
  const unix = connectRedis({url: 'unix:/tmp/picogate-none/redis.sock', log: silent, attempts: 2});
  await t.throwsAsync(unix, {code: 'ERR_REDIS_UNAVAILABLE', message: /^Cannot connect to Redis "unix:\/tmp\/picogate-none\/redis.sock": .*ENOENT/});
  const tcp = connectRedis({url: 'redis://user:se%63ret@127.0.0.1:1/0', log: silent, attempts: 1});
  const error = await t.throwsAsync(tcp, {code: 'ERR_REDIS_UNAVAILABLE', message: /"redis:\/\/user:\*\*\*@127.0.0.1:1\/0": .*ECONNREFUSED/});
  t.false(error.message.includes('secret'));
  await t.throwsAsync(connectRedis({url: 'http://x', log: silent}), {code: 'ERR_REDIS_URL'});
});

test('connectRedis() speaks TCP with a password, and gives up at once on a wrong one', async (t) => {
  await using directory = await temporaryDirectory();
  const {freePort} = await import('../helpers/gateway.ts');
  const port = await freePort();
  const argv = ['redis-server', '--port', String(port), '--bind', '127.0.0.1', '--dir', directory.path, '--save', '', '--requirepass', 'p@ss/word'] as const;
  await using _server = await startDaemon(argv, {stdio: 'ignore'});
  await using connection = await connectRedis({url: `redis://:p%40ss%2Fword@127.0.0.1:${port}/3`, log: silent, attempts: 8});
  t.is(await connection.call('SET', 'a', 'b'), 'OK');
  const beganMs = performance.now();
  await t.throwsAsync(connectRedis({url: `redis://:wrong@127.0.0.1:${port}`, log: silent}), {code: 'ERR_REDIS_UNAVAILABLE', message: /WRONGPASS/});
  t.true(performance.now() - beganMs < 1000);
});
