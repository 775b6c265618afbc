import {createSocket} from 'node:dgram';
import {once} from 'node:events';
import type {IncomingMessage, ServerResponse} from 'node:http';
import {connect as connectH2} from 'node:http2';
import test from 'ava';
import {KnownAnswers} from '../../../src/edge/probes/known-answers.ts';
import {until} from '../../helpers/until.ts';
import {blog} from '../edge-fixture.ts';
import {httpOrigin} from '../http/origin.ts';
import {rawClient, rawExchange} from '../http/raw-client.ts';
import {checkSource, probeEdge} from './probe-fixture.ts';

interface Seen {
  readonly url: string;
  readonly source: string;
}

/** Tells who asked; `/healthz` says more than 4 KiB when it is asked to. */
function noting(seen: Seen[], status = 200): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    const {url = ''} = request;
    seen.push({url, source: request.socket.remoteAddress ?? ''});
    if (url === '/hang') return;
    response.writeHead(status, {'content-type': 'text/x-health', 'set-cookie': 'a=b'});
    response.end(url === '/large' ? 'x'.repeat(5000) : `fine: ${url}`);
  };
}

const lines = `    mode http
    acl scraper req.hdr(x-scraper) -m found
    health-check path /healthz /large /hang
    health-check path_beg /probe/
    health-check user-agent kube-probe
    health-check if scraper
    http-response set-header x-rule yes`;

test('checks of a sleeping app are answered and wake nobody; other requests do', async (t) => {
  await using origin = await httpOrigin(noting([]));
  await using edge = await probeEdge(origin.port, lines);
  const url = `http://127.0.0.1:${edge.port}`;
  const checks = [
    fetch(`${url}/healthz?full`),
    fetch(`${url}/probe/x`),
    fetch(`${url}/`, {headers: {'user-agent': 'Kube-Probe/1.30'}}),
    fetch(`${url}/metrics`, {headers: {'x-scraper': '1'}}),
    fetch(`${url}/healthz`, {method: 'HEAD'}),
  ];
  for (const response of await Promise.all(checks)) t.deepEqual([response.status, response.headers.get('x-rule')], [200, 'yes']);
  t.deepEqual([edge.app.wakes, edge.app.answered, origin.connections()], [0, 5, 0]);
  t.is(edge.edge.counters().get('l')?.intercepted, 5);

  for (const [path, method] of [
    ['/healthz/', 'GET'],
    ['/healthz', 'POST'],
  ] as const) {
    const before = edge.app.wakes;
    const body = method === 'POST' ? 'a body has to go somewhere' : null;
    t.is(await (await fetch(`${url}${path}`, {method, body})).text(), `fine: ${path}`);
    t.is(edge.app.wakes, before + 1);
  }
  t.is(edge.app.apps.sessions, 0);
});

test('an app that is awake is asked, from the address of checks, on connections that carry nothing else', async (t) => {
  const seen: Seen[] = [];
  await using origin = await httpOrigin(noting(seen));
  await using edge = await probeEdge(origin.port, `${lines}\n    http-reuse always`);
  edge.app.set(blog, true);
  const request = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`;
  using client = await rawClient(edge.port);
  for (const path of ['/', '/healthz', '/again', '/healthz', '/last']) {
    client.socket.write(request(path));
    await until(() => client.text().includes(`fine: ${path}`) && seen.at(-1)?.url === path);
  }
  t.deepEqual(
    seen.map(({source}) => source),
    ['127.0.0.1', checkSource, '127.0.0.1', checkSource, '127.0.0.1'],
  );
  t.is(origin.connections(), 3);
  await until(() => origin.open() === 1);
  t.deepEqual([edge.app.wakes, edge.app.answered, edge.app.listeners], [3, 0, 1]);
  t.deepEqual([edge.app.apps.sessions, edge.app.apps.busy], [0, 0]);
});

test('what an app has answered last is answered while it sleeps, also by the edge of another configuration', async (t) => {
  await using origin = await httpOrigin(noting([], 218));
  const known = new KnownAnswers();
  await using before = await probeEdge(origin.port, lines, {known});
  before.app.set(blog, true);
  await using edge = await probeEdge(origin.port, lines, {known});
  const ask = async (path: string, more = '', port = edge.port): Promise<string> =>
    rawExchange(port, `GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${more}\r\n`);
  for (const path of ['/healthz', '/large', '/probe/1']) await ask(path, '', before.port);
  const answer = await ask('/healthz');
  t.regex(answer, /^HTTP\/1.1 218 /);
  t.regex(answer, /content-type: text\/x-health\r\n/);
  t.regex(answer, /x-rule: yes\r\n/);
  t.regex(answer, /\r\n\r\nfine: \/healthz$/);
  t.notRegex(answer, /set-cookie/);
  t.regex(await ask('/large'), /^HTTP\/1.1 218 .*content-length: 0\r\n.*\r\n\r\n$/s);
  // Who shows who he is may be answered otherwise than others.
  t.regex(await ask('/healthz', 'authorization: Basic YTpi\r\n'), /^HTTP\/1.1 200 /);
  t.regex(await ask('/probe/2'), /^HTTP\/1.1 200 /);
  t.is(edge.app.wakes, 0);
});

test('a check that an app is asked while it falls asleep is answered in its place', async (t) => {
  const seen: Seen[] = [];
  await using origin = await httpOrigin(noting(seen));
  await using edge = await probeEdge(origin.port, lines);
  edge.app.set(blog, true);
  const answer = fetch(`http://127.0.0.1:${edge.port}/hang`);
  await until(() => seen.length === 1);
  edge.app.set(blog, false);
  t.is((await answer).status, 200);
  await until(() => origin.open() === 0);
  t.deepEqual([edge.app.wakes, edge.app.answered], [0, 1]);
});

test('checks are refused with 503 when the app could not be woken, or answer-checks is off', async (t) => {
  await using origin = await httpOrigin(noting([]));
  await using failed = await probeEdge(origin.port, lines);
  failed.app.wakeable = false;
  t.is((await fetch(`http://127.0.0.1:${failed.port}/healthz`)).status, 503);
  await using refusing = await probeEdge(origin.port, `${lines}\n    answer-checks off`);
  t.is((await fetch(`http://127.0.0.1:${refusing.port}/healthz`)).status, 503);
  refusing.app.set(blog, true);
  t.is(await (await fetch(`http://127.0.0.1:${refusing.port}/healthz`)).text(), 'fine: /healthz');
  refusing.app.set(blog, false);
  t.is((await fetch(`http://127.0.0.1:${refusing.port}/healthz`)).status, 503);
  t.deepEqual([failed.app.wakes, refusing.app.wakes], [0, 0]);
});

test('the log says that a check was answered here', async (t) => {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.teardown(() => socket.close());
  const logged = once(socket, 'message');
  await using origin = await httpOrigin(noting([]));
  await using edge = await probeEdge(origin.port, `    log 127.0.0.1:${socket.address().port} format raw local0\n    option httplog\n${lines}`);
  await fetch(`http://127.0.0.1:${edge.port}/healthz`);
  t.regex(String((await logged)[0]), / l l\/<HEALTHCHECK> 0\/-?\d+\/-1\/-1\/\d+ 200 \d+ - - LR-- .*"GET \/healthz HTTP\/1.1"/);
});

test('checks on HTTP/2 are answered, too', async (t) => {
  await using origin = await httpOrigin(noting([]));
  await using edge = await probeEdge(origin.port, lines);
  const session = connectH2(`http://127.0.0.1:${edge.port}`);
  t.teardown(() => session.close());
  for (const method of ['GET', 'HEAD']) {
    const stream = session.request({':path': '/healthz', ':method': method});
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
    t.is(headers[':status'], 200);
    stream.resume();
    await once(stream, 'close');
  }
  t.deepEqual([edge.app.wakes, edge.app.answered], [0, 2]);
});
