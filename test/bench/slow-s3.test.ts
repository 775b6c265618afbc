import {randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {createServer, type IncomingMessage, type ServerResponse} from 'node:http';
import test, {type ExecutionContext} from 'ava';
import {parseRange} from '../../bench/paging/object-copies.ts';
import type {SlowLine} from '../../bench/paging/slow-s3.ts';
import {type SlowS3Thread, startSlowS3} from '../../bench/paging/slow-s3-thread.ts';
import {until} from '../helpers/until.ts';

interface Upstream {
  readonly url: string;
  readonly requests: readonly string[];
  readonly objects: Map<string, Buffer>;
}

/** Stores what is put, by path; what it was asked is kept. */
async function objectServer(t: ExecutionContext): Promise<Upstream> {
  const objects = new Map<string, Buffer>();
  const requests: string[] = [];
  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    requests.push(`${incoming.method} ${incoming.url}`);
    const [path = ''] = incoming.url?.split('?') ?? [];
    const chunks: Buffer[] = [];
    for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
    if (incoming.method === 'PUT') objects.set(path, Buffer.concat(chunks));
    if (incoming.method === 'DELETE') objects.delete(path);
    const found = objects.get(path);
    if (found === undefined) outgoing.writeHead(404).end('absent');
    else outgoing.writeHead(200, {'content-length': found.length, 'x-amz-meta-kind': 'tested', etag: '"e"'}).end(incoming.method === 'GET' ? found : undefined);
  };
  const server = createServer((incoming, outgoing) => void serve(incoming, outgoing)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {url: `http://127.0.0.1:${address.port}`, requests, objects};
}

async function slowLine(t: ExecutionContext, line: Partial<SlowLine> = {}): Promise<{url: string; upstream: Upstream; counter: SlowS3Thread['counter']}> {
  const upstream = await objectServer(t);
  const proxy = await startSlowS3({upstream: upstream.url, addedFirstByteMs: 0, streamBytesPerSecond: 1e12, ...line});
  t.teardown(() => proxy[Symbol.asyncDispose]());
  return {url: proxy.url, upstream, counter: (name) => proxy.counter(name)};
}

test('startSlowS3() passes writes on and answers reads, ranges and heads as the server would, from copies', async (t) => {
  const {url, upstream, counter} = await slowLine(t);
  const body = randomBytes(300_000);
  t.is((await fetch(`${url}/b/k?x-id=PutObject`, {method: 'PUT', body})).status, 200);
  t.deepEqual(upstream.requests, ['PUT /b/k?x-id=PutObject', 'GET /b/k']);
  t.is(counter('bytesUp'), body.length);

  const whole = await fetch(`${url}/b/k`);
  t.is(whole.headers.get('etag'), '"e"');
  t.is(whole.headers.get('x-amz-meta-kind'), 'tested');
  t.true(Buffer.from(await whole.arrayBuffer()).equals(body));
  // As the client of AWS signs a URL.
  const signature = 'X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=6173fd&x-amz-checksum-crc32=AAAAAA%3D%3D&x-id=GetObject';
  const part = await fetch(`${url}/b/k?${signature}`, {headers: {range: 'bytes=1000-199999'}});
  t.is(part.status, 206);
  t.is(part.headers.get('content-range'), 'bytes 1000-199999/300000');
  t.true(Buffer.from(await part.arrayBuffer()).equals(body.subarray(1000, 200_000)));
  t.is((await fetch(`${url}/b/k`, {method: 'HEAD'})).headers.get('content-length'), '300000');
  t.is((await fetch(`${url}/b/k`, {headers: {range: 'bytes=300000-'}})).status, 416);
  t.is(upstream.requests.length, 2, 'nothing of that was asked of the server');
  t.is(counter('bytesDown'), 300_000 + 199_000);

  t.is((await fetch(`${url}/b/k`, {method: 'PUT', body: 'short'})).status, 200);
  t.is(await (await fetch(`${url}/b/k`)).text(), 'short');
  await fetch(`${url}/b/k`, {method: 'DELETE'});
  t.is((await fetch(`${url}/b/k`)).status, 404);
});

test('startSlowS3() delays the first byte and limits each stream, up and down', async (t) => {
  const {url} = await slowLine(t, {addedFirstByteMs: 50, streamBytesPerSecond: 5e6});
  const body = randomBytes(1_000_000);
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const startedMs = performance.now();
    await work();
    return performance.now() - startedMs;
  };
  // Only lower bounds: a busy machine may take any time. A timer may be a millisecond early.
  t.true((await timed(() => fetch(`${url}/b/k`, {method: 'PUT', body}))) > 240);
  t.true((await timed(() => fetch(`${url}/b/k`, {method: 'HEAD'}))) > 48);
  t.true((await timed(async () => (await fetch(`${url}/b/k`)).arrayBuffer())) > 240);
});

test('startSlowS3() says that the server has failed, and goes on after a client that left', async (t) => {
  const {url, upstream} = await slowLine(t, {streamBytesPerSecond: 1e6});
  const body = randomBytes(2_000_000);
  upstream.objects.set('/b/k', body);
  const leaving = new AbortController();
  const answer = await fetch(`${url}/b/k`, {signal: leaving.signal});
  leaving.abort();
  await t.throwsAsync(answer.arrayBuffer());
  t.is((await fetch(`${url}/b/none`)).status, 404);

  const lost = await startSlowS3({upstream: 'http://127.0.0.1:1', addedFirstByteMs: 0, streamBytesPerSecond: 1e9});
  t.teardown(() => lost[Symbol.asyncDispose]());
  t.is((await fetch(`${lost.url}/b/k`)).status, 502);
  await until(() => lost.counter('requests') === 1);
});

test('parseRange() reads what a Range header can say', (t) => {
  t.deepEqual(parseRange('bytes=0-0', 10), {start: 0, end: 1});
  t.deepEqual(parseRange('bytes=5-', 10), {start: 5, end: 10});
  t.deepEqual(parseRange('bytes=-3', 10), {start: 7, end: 10});
  t.deepEqual(parseRange('bytes=-30', 10), {start: 0, end: 10});
  t.deepEqual(parseRange('bytes=5-99', 10), {start: 5, end: 10});
  t.is(parseRange('bytes=10-', 10), 'unsatisfiable');
  t.is(parseRange('bytes=-0', 10), 'unsatisfiable');
  t.is(parseRange(undefined, 10), null);
  t.is(parseRange('pages=1-2', 10), null);
});
