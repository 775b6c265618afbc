/** Who is shown a page while an app wakes, and who is held. test/e2e/edge-apps.test.ts has the same with a real wake. */
import {createHash} from 'node:crypto';
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {writeFile} from 'node:fs/promises';
import {connect} from 'node:http2';
import {join} from 'node:path';
import test from 'ava';
import {chromium} from 'playwright-core';
import {appName} from '../../../src/core/ids.ts';
import {violations} from '../../helpers/accessibility.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {assignedServer, openTestHttp, type TestHttp, testServer} from './http-fixture.ts';
import {httpOrigin} from './origin.ts';
import {rawExchange} from './raw-client.ts';

const html = 'Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n';
const page = 'shown a page';
const held = 'held';

const chromiumPath = '/usr/bin/chromium';
const browserTest = existsSync(chromiumPath) ? test : test.skip;

/** Every wake lasts until `wake` is called. */
async function sleepingApp(waitPage: {afterMs: number; path: string | null} | null = {afterMs: 20, path: null}): Promise<TestHttp & {wake: () => void}> {
  const origin = await httpOrigin((_request, response) => response.end('from the app'));
  const waking = Promise.withResolvers<void>();
  const server = testServer('s1', origin.port);
  const http = await openTestHttp({
    servers: [],
    backend: {waitPage},
    assign: async (_backend, {held: begins}, signalOf) => {
      const signal = signalOf();
      begins?.({app: appName('wiki'), trigger: 'tcp/80'});
      const left = new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
      await Promise.race([waking.promise, left]);
      const app = {...server, target: {kind: 'app' as const, app: appName('wiki'), port: origin.port}};
      return {...assignedServer(server, () => null), server: {config: app, id: 1}};
    },
  });
  return {
    ...http,
    wake: () => waking.resolve(),
    async [Symbol.asyncDispose]() {
      await http[Symbol.asyncDispose]();
      await origin[Symbol.asyncDispose]();
    },
  };
}

test('a person in front of a page is shown one, whoever may be a program is held', async (t) => {
  await using http = await sleepingApp();
  const requests: readonly (readonly [string, string])[] = [
    [page, `GET / HTTP/1.1\r\n${html}`],
    [page, `GET / HTTP/1.1\r\n${html}Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n`],
    [held, `GET / HTTP/1.1\r\nAccept: */*\r\n`],
    [held, 'GET / HTTP/1.1\r\n'],
    [held, 'GET / HTTP/1.1\r\nAccept: application/json, text/html;q=0\r\n'],
    [held, `GET / HTTP/1.1\r\n${html}Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n`],
    [held, `GET / HTTP/1.1\r\n${html}Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n`],
    [held, `GET / HTTP/1.1\r\n${html}Sec-Fetch-Mode: navigate\r\nSec-Purpose: prefetch\r\n`],
    [held, `GET / HTTP/1.1\r\n${html}X-Requested-With: XMLHttpRequest\r\n`],
    [held, `GET / HTTP/1.1\r\n${html}Connection: upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n`],
    [held, `GET / HTTP/1.1\r\n${html}Content-Length: 0\r\nContent-Type: a/b\r\nPicogate-Wait: 1\r\n`],
    [held, `HEAD / HTTP/1.1\r\n${html}`],
    [held, `POST / HTTP/1.1\r\n${html}Content-Length: 2\r\n\r\nok`],
  ];
  const answers = requests.map(async ([, text]) => {
    const [head = '', body = ''] = text.split('\r\n\r\n');
    const close = head.includes('Connection:') ? '' : '\r\nConnection: close';
    return rawExchange(http.port, `${head.replace(/\r\n$/, '')}${close}\r\nHost: a\r\n\r\n${body}`);
  });
  const shown = await Promise.all(answers.slice(0, 2));
  setTimeout(http.wake, 50);
  const all = [...shown, ...(await Promise.all(answers.slice(2)))];
  t.deepEqual(
    all.map((text, at) => [/^HTTP\/1\.1 503 [\s\S]*Waking up/.test(text) ? page : held, requests[at]?.[1]]),
    requests.map(([what, head]) => [what, head]),
  );
  t.true(all.slice(2).every((text) => /^HTTP\/1\.1 20[04] /.test(text)));
  t.like(
    http.records.find(({status}) => status === 503),
    {termination: 'LR--', server: null},
  );
});

test('the page is not stored, says when to come again, and may do only what it needs', async (t) => {
  await using http = await sleepingApp();
  const text = await rawExchange(http.port, `GET / HTTP/1.1\r\n${html}Connection: close\r\nHost: a\r\n\r\n`);
  t.regex(text, /^HTTP\/1\.1 503 Service Unavailable\r\n/);
  t.regex(text, /\r\ncache-control: no-store\r\nretry-after: 5\r\n/);
  const policy = /\r\ncontent-security-policy: (.*)\r\n/.exec(text)?.[1] ?? '';
  for (const [directive, element] of [
    ['script-src', 'script'],
    ['style-src', 'style'],
  ] as const) {
    const content = new RegExp(`<${element}>([^]*?)</${element}>`).exec(text)?.[1] ?? '';
    t.true(policy.includes(`${directive} 'sha256-${createHash('sha256').update(content).digest('base64')}'`), directive);
  }
  t.regex(policy, /^default-src 'none';/);
  t.notRegex(text, /(?:src|href)=|https?:/);
});

test('the page asks whether the app is awake, and the app sees nothing of it', async (t) => {
  await using http = await sleepingApp();
  setTimeout(http.wake, 50);
  const poll = await fetch(http.url, {headers: {'picogate-wait': '1'}});
  t.deepEqual([poll.status, poll.headers.get('cache-control'), await poll.text()], [204, 'no-store', '']);
  t.is(await (await fetch(http.url, {headers: {accept: 'text/html'}})).text(), 'from the app');
  await using without = await sleepingApp(null);
  without.wake();
  t.is(await (await fetch(without.url, {headers: {'picogate-wait': '1'}})).text(), 'from the app');
});

test('HTTP/2 gets the same page, and a file may take its place', async (t) => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'waiting.http');
  await writeFile(path, 'HTTP/1.0 200 OK\r\nCache-Control: public\r\nContent-Type: text/html\r\n\r\n<meta http-equiv="refresh" content="1">');
  await using http = await sleepingApp({afterMs: 20, path});
  const session = connect(http.url);
  const stream = session.request({':path': '/', accept: 'text/html'});
  const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  session.close();
  t.like(headers, {':status': 200, 'cache-control': 'no-store', 'content-type': 'text/html'});
  t.is(text, '<meta http-equiv="refresh" content="1">');
});

browserTest('a browser shows the page, and the app at the same address as soon as that is awake', async (t) => {
  await using http = await sleepingApp();
  const browser = await chromium.launch({
    executablePath: chromiumPath,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  });
  t.teardown(() => browser.close());
  const page = await browser.newPage({colorScheme: 'dark'});
  const complaints: string[] = [];
  page.on('console', (message) => void complaints.push(message.text()));
  const address = `${http.url}/wiki/Main?a=1#part`;
  const answer = await page.goto(address);
  t.is(answer?.status(), 503);
  await page.getByRole('status').filter({hasText: 'This page continues by itself'}).waitFor();
  t.deepEqual(await violations(page), []);
  // That the page is 503 is what Chromium itself says.
  t.deepEqual(
    complaints.filter((text) => !text.includes('status of 503')),
    [],
  );
  t.is(await page.evaluate('getComputedStyle(document.documentElement).colorScheme'), 'light dark');
  if (process.env['PICOGATE_SCREENSHOTS'] !== undefined) await page.screenshot({path: join(process.env['PICOGATE_SCREENSHOTS'], 'wait-page.png')});
  http.wake();
  await page.getByText('from the app').waitFor();
  t.is(page.url(), address);
});
