/** What the gateway reads before a server is awake decides whether it wakes, which one, and why. */
import {createSocket} from 'node:dgram';
import {once} from 'node:events';
import {writeFile} from 'node:fs/promises';
import {connect, type Socket} from 'node:net';
import {join} from 'node:path';
import {connect as connectTls} from 'node:tls';
import {fileURLToPath} from 'node:url';
import type {ExecutionContext} from 'ava';
import {run} from '../../src/core/command.ts';
import {freePort, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {type CollectedSpan, otlpCollector} from '../helpers/otlp-collector.ts';
import {serialRootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

async function nginx(name: string): Promise<string> {
  return `app ${name}
    rootfs ${await rootfsWith('nginx-light')}
    exec /usr/sbin/nginx -c /srv/nginx.conf
    volume ${fixtures}:/srv:ro
    expose tcp 80
`;
}

async function openSocket(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

/** A syslog daemon on the port that is returned. */
async function logReceiver(t: ExecutionContext, lines: string[]): Promise<number> {
  const socket = createSocket('udp4');
  socket.on('message', (message) => lines.push(message.toString('latin1')));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.teardown(() => socket.close());
  return socket.address().port;
}

/** Reads until what came ends like this. */
async function readTo(socket: Socket, end: string): Promise<string> {
  let text = '';
  while (!text.endsWith(end)) {
    const [chunk] = (await once(socket, 'data', {signal: AbortSignal.timeout(20_000)})) as [Buffer];
    text += chunk.toString('latin1');
  }
  return text;
}

/** What woke an app is written down a moment after its client has been answered. */
async function wokenBy(gateway: TestGateway, app: string, trigger: RegExp): Promise<void> {
  await until(async () => trigger.test((await gateway.app(app)).lastWake?.trigger ?? ''), {what: `a wake of ${app} by ${trigger}`});
}

serialRootTest('mode http: rules answer without a wake, a Host header wakes its app, and a connection kept open does not keep it awake', async (t) => {
  t.timeout(120_000);
  const port = await freePort();
  await using collector = await otlpCollector();
  const lines: string[] = [];
  const logPort = await logReceiver(t, lines);
  await using gate = await temporaryDirectory();
  const fifo = join(gate.path, 'fifo');
  await run(['mkfifo', fifo], {timeoutMs: 5000});
  const gateway = await testGateway(
    t,
    `${await nginx('wiki')}
app slow
    rootfs ${await rootfsWith('nginx-light')}
    exec /bin/sh -c "read line < /gate/fifo; exec /usr/sbin/nginx -c /srv/nginx.conf"
    volume ${fixtures}:/srv:ro
    volume ${gate.path}:/gate
    expose tcp 80
app broken
    rootfs ${await rootfsWith('nginx-light')}
    exec /usr/sbin/no-such-program
    expose tcp 80
frontend web
    mode http
    bind 127.0.0.1:${port}
    monitor-uri /alive
    option httplog wake
    log 127.0.0.1:${logPort} len 4096 format raw local0
    http-request return status 200 content-type text/plain string "from a rule" if { path /robots.txt }
    http-request deny if { path_beg /private }
    http-request redirect location /new if { path /old }
    use_backend wiki if { hdr(host) -i wiki.test }
    use_backend broken if { hdr(host) -i broken.test }
    use_backend slow if { hdr(host) -i slow.test }
backend slow
    mode http
    wait-page after 200ms
    timeout wake 60s
    server s app:slow:80
backend wiki
    mode http
    server s app:wiki:80
backend broken
    mode http
    server s app:broken:80`,
    {globals: `    otlp ${collector.url}\n    gateway-log text`},
  );
  await gateway.start();
  const socket = await openSocket(port);
  t.teardown(() => socket.destroy());
  socket.write('GET /hello HTTP/1.1\r\nhost: wiki.test\r\n\r\n');
  t.regex(await readTo(socket, 'hello from nginx\n'), /^HTTP\/1\.1 200 /);
  await gateway.reaches('wiki', 'hibernated');
  t.false(socket.destroyed);

  const ask = async (path: string, host = 'wiki.test', fields = ''): Promise<string> => {
    const other = await openSocket(port);
    other.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n${fields}\r\n`);
    let text = '';
    for await (const chunk of other) text += String(chunk);
    return text;
  };
  t.regex(await ask('/robots.txt'), /^HTTP\/1\.1 200 .*from a rule$/s);
  t.regex(await ask('/private/x'), /^HTTP\/1\.1 403 /);
  t.regex(await ask('/old'), /^HTTP\/1\.1 302 .*location: \/new\r\n/s);
  t.regex(await ask('/alive'), /^HTTP\/1\.1 200 /);
  t.regex(await ask('/', 'unknown.test'), /^HTTP\/1\.1 503 /);
  t.is((await gateway.app('wiki')).state, 'hibernated');

  socket.write('GET /pages/42 HTTP/1.1\r\nhost: wiki.test\r\n\r\n');
  t.regex(await readTo(socket, 'hello from nginx\n'), /^HTTP\/1\.1 200 /);
  await wokenBy(gateway, 'wiki', /^tcp\/80 GET \/pages from 127\.0\.0\.1$/);
  t.regex(await ask('/', 'broken.test'), /^HTTP\/1\.1 503 .*retry-after: \d+\r\n/is);

  // Nobody waits any more when the first two have their pages: the wake goes on all the same.
  const html = 'accept: text/html\r\n';
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const traced = `${html}traceparent: 00-${traceId}-b7ad6b7169203331-01\r\n`;
  t.regex(await ask('/hello', 'slow.test', traced), /^HTTP\/1\.1 503 .*cache-control: no-store\r\n.*Waking up/s);
  t.regex(await ask('/hello', 'slow.test', html), /^HTTP\/1\.1 503 .*Waking up/s);
  t.is((await gateway.app('slow')).state, 'reviving');
  const held = [ask('/hello', 'slow.test', 'accept: */*\r\n'), ask('/hello', 'slow.test', 'picogate-wait: 1\r\n')];
  await writeFile(fifo, '\n');
  const [answer = '', poll = ''] = await Promise.all(held);
  t.regex(answer, /^HTTP\/1\.1 200 .*hello from nginx\n$/s);
  t.regex(poll, /^HTTP\/1\.1 204 /);
  t.regex(await ask('/hello', 'slow.test', html), /^HTTP\/1\.1 200 /);

  // The first one that was held, whose client got a page.
  const line = lines.find((one) => one.includes(' slow/<NOSRV> '));
  t.regex(line ?? '', / 503 \d+ - - LR-- .* "GET \/hello HTTP\/1\.1" slow 2\d\d "tcp\/80 GET \/hello"\n$/);
  t.regex(lines.find((one) => one.includes('"GET /robots.txt')) ?? '', / "GET \/robots\.txt HTTP\/1\.1" - - ""\n$/);

  const spansOf = (app: string): CollectedSpan[] =>
    collector.spans.filter(({attributes}) => attributes.some(({key, value}) => key === 'picogate.app' && value['stringValue'] === app));
  await until(() => spansOf('slow').length > 0 && spansOf('broken').length > 0, {timeoutMs: 20_000});
  t.deepEqual(collector.problems, []);
  t.deepEqual([...new Set(spansOf('slow').map((span) => span.traceId))], [traceId]);
  t.deepEqual(
    spansOf('slow').map(({name}) => name),
    ['wake', 'hold', 'place', 'start', 'ready'],
  );
  t.is(spansOf('slow')[0]?.parentSpanId, 'b7ad6b7169203331');
  t.true(spansOf('wiki').some(({name}) => name === 'restore'));
  t.like(spansOf('broken')[0], {name: 'wake', status: {code: 2}});
  t.regex(await gateway.log(), /^\S+Z INFO ready apps=3 frontends=1$/m);
  t.regex(await gateway.log(), /^\S+Z ERROR failed app=broken what=start error="Cannot start/m);
});

serialRootTest('mode tcp: a connection without a ClientHello wakes nothing, and the server name wakes its app', async (t) => {
  t.timeout(120_000);
  const port = await freePort();
  const lines: string[] = [];
  const logPort = await logReceiver(t, lines);
  const gateway = await testGateway(
    t,
    `${await nginx('shop')}
frontend tls
    bind 127.0.0.1:${port}
    option jsonlog
    log 127.0.0.1:${logPort} len 4096 format raw local0
    tcp-request inspect-delay 1s
    tcp-request content accept if { req.ssl_hello_type 1 }
    tcp-request content reject
    use_backend shop if { req.ssl_sni -i shop.test }
backend shop
    server s app:shop:80`,
  );
  await gateway.start();
  const scan = await openSocket(port);
  scan.destroy();
  const silent = await openSocket(port);
  const wrong = await openSocket(port);
  wrong.write('GET / HTTP/1.1\r\n\r\n');
  const refused = [silent, wrong].map(async (socket) => once(socket.resume(), 'close', {signal: AbortSignal.timeout(10_000)}));
  await Promise.all(refused);
  const hello = async (servername: string): Promise<void> => {
    const socket = connectTls({port, host: '127.0.0.1', servername, rejectUnauthorized: false});
    await t.throwsAsync(once(socket, 'secureConnect', {signal: AbortSignal.timeout(20_000)}));
    socket.destroy();
  };
  await hello('other.test');
  t.is((await gateway.app('shop')).lastWake, null);
  // nginx speaks no TLS here: that its answer is an error is what shows that the bytes came through.
  await hello('shop.test');
  await wokenBy(gateway, 'shop', /^tcp\/80 sni shop\.test from 127\.0\.0\.1$/);
  await until(() => lines.some((line) => line.includes('wake_app')));
  const woken = JSON.parse(lines.find((line) => line.includes('wake_app')) ?? '') as {wake_ms: number};
  t.like(woken, {frontend: 'tls', mode: 'tcp', backend: 'shop', server: 's', wake_app: 'shop', wake_trigger: 'tcp/80 sni shop.test'});
  t.true(woken.wake_ms > 0);
});

serialRootTest('mode dns: a question for the name of an app is answered at once and wakes it, any other wakes nothing', async (t) => {
  t.timeout(120_000);
  const port = await freePort();
  const gateway = await testGateway(
    t,
    `${await nginx('blog')}
frontend names
    mode dns
    bind 127.0.0.1:${port}
    zone apps.test
    answer-with 192.0.2.80`,
  );
  await gateway.start();
  const dig = async (name: string): Promise<string> => {
    const {stdout} = await run(['dig', '@127.0.0.1', '-p', String(port), '+tries=1', '+time=5', name], {timeoutMs: 20_000});
    return stdout;
  };
  t.regex(await dig('nothing.apps.test'), /status: NXDOMAIN/);
  t.regex(await dig('blog.other.test'), /status: REFUSED/);
  t.is((await gateway.app('blog')).lastWake, null);
  t.regex(await dig('blog.apps.test'), /\sA\s192\.0\.2\.80/s);
  await gateway.reaches('blog', 'running');
  await wokenBy(gateway, 'blog', /name blog\.apps\.test from 127\.0\.0\.1$/);
});
