import {once} from 'node:events';
import {connect, createServer} from 'node:net';
import {setTimeout as sleep} from 'node:timers/promises';
import test from 'ava';
import {CodedError} from '../../../src/core/errors.ts';
import {appName} from '../../../src/core/ids.ts';
import type {AssignedServer, AssignRequest} from '../../../src/edge/http/assignment.ts';
import {until} from '../../helpers/until.ts';
import {assignedServer, openTestHttp, testServer} from './http-fixture.ts';
import {httpOrigin, rawOrigin, scriptedOrigin} from './origin.ts';
import {rawClient, rawExchange} from './raw-client.ts';

const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const closing = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** A port of loopback that nobody listens on. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Two clients, two requests each, one after the other. */
const reuse = [
  ['never', 2],
  ['safe', 2],
  ['aggressive', 1],
  ['always', 1],
] as const;

for (const [httpReuse, connections] of reuse) {
  test(`http-reuse ${httpReuse}: ${connections} connections for two clients with two requests each`, async (t) => {
    await using origin = await scriptedOrigin(ok);
    await using http = await openTestHttp({servers: [origin.port], backend: {httpReuse}});
    for (let client = 0; client < 2; client++) {
      using raw = await rawClient(http.port);
      for (let request = 1; request <= 2; request++) {
        raw.socket.write(get);
        await until(() => raw.text().split('200 OK').length === request + 1);
      }
    }
    t.is(origin.connections(), connections);
  });
}

test('option http-server-close uses each connection to a server once', async (t) => {
  const seen: string[] = [];
  await using origin = await scriptedOrigin(ok, seen);
  await using http = await openTestHttp({servers: [origin.port], backend: {connectionMode: 'server-close'}});
  using raw = await rawClient(http.port, get + get);
  await until(() => raw.text().split('200 OK').length === 3);
  t.is(origin.connections(), 2);
  t.true(seen.every((head) => head.includes('connection: close')));
  t.false(raw.text().includes('connection: close'));
});

test('option httpclose closes the client’s connection too', async (t) => {
  await using origin = await scriptedOrigin(ok);
  await using http = await openTestHttp({servers: [origin.port], frontend: {connectionMode: 'close'}});
  t.is(await rawExchange(http.port, get), 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok');
});

test('a connection that a server closed while it was idle costs no request', async (t) => {
  let served = 0;
  await using origin = await rawOrigin((socket) => {
    // The first connection dies with the second request on it, as one does that its server is just closing.
    let requests = 0;
    const isFirst = served === 0;
    socket.on('data', () => {
      served++;
      if (isFirst && ++requests === 2) socket.destroy();
      else socket.write(ok);
    });
  });
  await using http = await openTestHttp({servers: [origin.port]});
  using raw = await rawClient(http.port, get + get);
  await until(() => raw.text().split('200 OK').length === 3);
  t.is(origin.connections(), 2);
});

test('but a request that cannot be repeated is not sent twice', async (t) => {
  let posts = 0;
  await using origin = await rawOrigin((socket) => {
    socket.on('data', (data: Buffer) => {
      if (data.toString().startsWith('GET')) socket.write(ok);
      else {
        posts++;
        socket.destroy();
      }
    });
  });
  await using http = await openTestHttp({servers: [origin.port]});
  using raw = await rawClient(http.port, get);
  await raw.received('ok');
  raw.socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi');
  await raw.received('502 Bad Gateway');
  t.is(posts, 1);
});

test('a server that cannot be reached is tried again, then another one, then it is a 503', async (t) => {
  const port = await closedPort();
  await using origin = await scriptedOrigin(ok);
  await using http = await openTestHttp({servers: [port, origin.port], backend: {retries: 2, redispatch: 1, connectTimeoutMs: 100}});
  t.regex(await rawExchange(http.port, closing), /^HTTP\/1\.1 200 OK/);
  t.like(http.records[0], {retries: 1, redispatched: true, server: 's2', termination: '----'});
  await using lonely = await openTestHttp({servers: [port], backend: {retries: 2, connectTimeoutMs: 50}});
  t.regex(await rawExchange(lonely.port, closing), /^HTTP\/1\.1 503 /);
  t.like(lonely.records[0], {retries: 2, termination: 'SC--', status: 503});
  t.is(lonely.counters.connectFailures, 1);
  t.deepEqual(lonely.outcomes, ['server-error']);
});

test('http-send-name-header tells the server that is reached in the end its name, and nobody else says it', async (t) => {
  const port = await closedPort();
  const seen: string[] = [];
  await using origin = await scriptedOrigin(ok, seen);
  const backend = {serverNameHeader: 'x-server', retries: 2, redispatch: 1, connectTimeoutMs: 100};
  await using http = await openTestHttp({servers: [port, origin.port], backend});
  await rawExchange(http.port, closing.replace('Host', 'X-Server: mine\r\nx-server: other\r\nHost'));
  t.deepEqual(seen.join().match(/^x-server: .*(?=\r)/gim), ['x-server: s2']);
});

test('retry-on repeats what it names, and only requests that are wholly here', async (t) => {
  let requests = 0;
  await using origin = await rawOrigin((socket) => {
    socket.on('data', () => {
      requests++;
      if (requests % 3 === 1) socket.destroy();
      else if (requests % 3 === 2) socket.write('HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n');
      else socket.write(ok);
    });
  });
  await using http = await openTestHttp({servers: [origin.port], backend: {retryOn: ['empty-response', '500']}});
  t.regex(await rawExchange(http.port, closing), /^HTTP\/1\.1 200 OK/);
  t.is(requests, 3);
  t.regex(await rawExchange(http.port, 'POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi'), /^HTTP\/1\.1 502 /);
  t.is(requests, 4);
});

test('timeout server is a 504, or the end of an answer that stops', async (t) => {
  await using origin = await rawOrigin((socket) => {
    socket.once('data', (data: Buffer) => {
      if (data.toString().includes('/start')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nstart');
    });
  });
  await using http = await openTestHttp({servers: [origin.port], backend: {serverTimeoutMs: 150}});
  t.regex(await rawExchange(http.port, closing), /^HTTP\/1\.1 504 /);
  t.true((await rawExchange(http.port, closing.replace('/', '/start'))).endsWith('start'));
  t.deepEqual(
    http.records.map(({termination}) => termination),
    ['sH--', 'sD--'],
  );
});

test('timeout http-request is a 408, timeout http-keep-alive a silent end', async (t) => {
  await using origin = await scriptedOrigin(ok);
  await using http = await openTestHttp({servers: [origin.port], frontend: {httpRequestTimeoutMs: 150, keepAliveTimeoutMs: 150}});
  t.regex(await rawExchange(http.port, 'GET / HTTP/1.1\r\nHost'), /^HTTP\/1\.1 408 Request Time-out\r\n/);
  t.is(await rawExchange(http.port, get), 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
  t.deepEqual(
    http.records.map(({termination, status}) => [termination, status]),
    [
      ['cR--', 408],
      ['----', 200],
    ],
  );
});

test('timeout client ends an upload that stops', async (t) => {
  await using origin = await rawOrigin((socket) => void socket.resume());
  await using http = await openTestHttp({servers: [origin.port], frontend: {clientTimeoutMs: 150}});
  t.regex(await rawExchange(http.port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nstart'), /^HTTP\/1\.1 408 /);
  t.like(http.records[0], {termination: 'cD--'});
  await until(() => origin.open() === 0);
});

test('a request is held until its server is there, and its trigger says what it asked for', async (t) => {
  await using origin = await scriptedOrigin(ok);
  const asked: AssignRequest[] = [];
  const wake = Promise.withResolvers<AssignedServer>();
  await using http = await openTestHttp({
    servers: [],
    assign: (_backend, request) => {
      asked.push(request);
      return wake.promise;
    },
  });
  const clients = await Promise.all(Array.from({length: 20}, async () => rawClient(http.port, closing.replace('/', '/wiki?x'))));
  await until(() => asked.length === 20);
  t.is(http.counters.waiting, 20);
  t.deepEqual(asked[0]?.trigger, {
    kind: 'connection',
    protocol: 'tcp',
    source: '127.0.0.1',
    sni: undefined,
    request: {method: 'GET', path: '/wiki?x'},
    traceparent: undefined,
  });
  wake.resolve(assignedServer(testServer('app', origin.port), () => null));
  const answers = await Promise.all(clients.map(async ({over}) => over));
  t.true(answers.every((answer) => answer.startsWith('HTTP/1.1 200 OK')));
  t.is(http.counters.waiting, 0);
});

test('a client that leaves while it is held gives up its wait', async (t) => {
  const aborted: unknown[] = [];
  let asked = 0;
  await using http = await openTestHttp({
    servers: [],
    assign: (_backend, {held}, signalOf) => {
      asked++;
      held?.({app: appName('wiki'), trigger: 'tcp/80'});
      const signal = signalOf();
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          aborted.push(signal.reason);
          reject(signal.reason as Error);
        });
      });
    },
  });
  for (const leave of ['end', 'destroy', 'resetAndDestroy'] as const) {
    using client = await rawClient(http.port, get);
    await until(() => asked === aborted.length + 1);
    client.socket[leave]();
    await until(() => asked === aborted.length);
  }
  t.like(aborted[0], {code: 'ERR_ABANDONED'});
  t.is(http.counters.abandoned, 3);
  t.is(http.counters.waiting, 0);
  t.deepEqual(
    http.records.map(({termination}) => termination),
    ['CQ--', 'CQ--', 'CQ--'],
  );
});

test('a client that says no more after its request is answered, unless abortonclose takes that for leaving', async (t) => {
  await using origin = await httpOrigin((_request, response) => response.end('there'));
  for (const abortOnClose of [false, true]) {
    const closed = Promise.withResolvers<void>();
    await using http = await openTestHttp({
      servers: [],
      backend: {abortOnClose},
      assign: async (_backend, _request, signalOf) => {
        const signal = signalOf();
        // The server is reached when the client's end is long known.
        await Promise.race([
          closed.promise.then(() => sleep(100)),
          new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
        ]);
        return assignedServer(testServer('s1', origin.port), () => null);
      },
    });
    const socket = connect({host: '127.0.0.1', port: http.port, allowHalfOpen: true});
    socket.end('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', () => closed.resolve());
    const text = (await socket.setEncoding('latin1').toArray()).join('');
    if (abortOnClose) t.is(text, '');
    else t.regex(text, /^HTTP\/1\.1 200 OK[\s\S]*there$/);
  }
});

for (const [code, status, termination, counted] of [
  ['ERR_QUEUE_FULL', 503, 'SQ--', {refused: 1, wakeFailures: 0}],
  ['ERR_WAKE_RATE', 503, 'SC--', {refused: 1, wakeFailures: 0}],
  ['ERR_WAKE_TIMEOUT', 504, 'sC--', {refused: 0, wakeFailures: 1}],
  ['ERR_WAKE_FAILED', 503, 'SC--', {refused: 0, wakeFailures: 1}],
] as const) {
  test(`${code} is a ${status} that says when to come again`, async (t) => {
    await using http = await openTestHttp({servers: [], assign: () => Promise.reject(new CodedError(code, 'Cannot', {source: 'server'}))});
    t.regex(await rawExchange(http.port, closing), new RegExp(`^HTTP/1\\.1 ${status} [\\s\\S]*retry-after: 5\\r\\n`));
    t.like(http.records[0], {termination, status});
    t.like(http.counters, counted);
  });
}

test('what happened is recorded for the log', async (t) => {
  await using origin = await httpOrigin((_request, response) => setTimeout(() => response.end('slow'), 50));
  await using http = await openTestHttp({servers: [origin.port]});
  await rawExchange(http.port, closing);
  const [record] = http.records;
  t.like(record, {
    backend: 'back',
    server: 's1',
    status: 200,
    termination: '----',
    retries: 0,
    reason: null,
    serverAddress: {host: '127.0.0.1', port: origin.port},
  });
  t.is(record?.bytesFromClient, closing.length);
  t.true((record?.times.responseMs ?? 0) >= 45);
  for (const what of ['idleMs', 'requestMs', 'waitMs', 'connectMs', 'activeMs', 'totalMs'] as const) t.not(record?.times[what] ?? null, null, what);
});

test('stopping closes idle clients, lets the others finish, and answers those that have not asked yet', async (t) => {
  const waiting: (() => void)[] = [];
  await using origin = await rawOrigin((socket) => {
    socket.on('data', () => waiting.push(() => void socket.write(ok)));
  });
  const answerNext = async (): Promise<void> => {
    await until(() => waiting.length > 0);
    waiting.shift()?.();
  };
  const http = await openTestHttp({servers: [origin.port]});
  using idle = await rawClient(http.port, get);
  await answerNext();
  await idle.received('ok');
  using busy = await rawClient(http.port, get);
  using fresh = await rawClient(http.port);
  await until(() => waiting.length === 1 && http.counters.sessions === 3);
  http.stopAccepting();
  t.notRegex(await idle.over, /connection: close/);
  await answerNext();
  t.regex(await busy.over, /connection: close\r\n\r\nok/);
  fresh.socket.write(get);
  await answerNext();
  t.regex(await fresh.over, /connection: close\r\n\r\nok/);
  await http[Symbol.asyncDispose]();
});
