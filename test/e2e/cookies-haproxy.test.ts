/** Which server a persistence cookie means, and what the server sees of it: the same requests to Debian's HAProxy and to our program. */
import {existsSync} from 'node:fs';
import {createServer, type Socket} from 'node:net';
import test from 'ava';
import {rawExchange} from '../edge/http/raw-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve} from './operator-servers.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const servers = `server a 127.0.0.1:\${ORIGIN} cookie one
  server b 127.0.0.1:\${ORIGIN} cookie two weight 0
  server c 127.0.0.1:\${ORIGIN} cookie gone disabled`;

const configuration = `
defaults
  mode http
  log 127.0.0.1:\${LOG} local0
  log-format "%s %tsc %CC"
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend indirect
  bind 127.0.0.1:\${INDIRECT}
  capture cookie sess len 40
  default_backend indirect
frontend insert
  bind 127.0.0.1:\${INSERT}
  default_backend insert
frontend prefix
  bind 127.0.0.1:\${PREFIX}
  default_backend prefix
backend indirect
  cookie sess insert indirect
  ${servers}
backend insert
  cookie sess insert
  ${servers}
frontend dated
  bind 127.0.0.1:\${DATED}
  default_backend dated
frontend idle
  bind 127.0.0.1:\${IDLE}
  default_backend idle
frontend life
  bind 127.0.0.1:\${LIFE}
  default_backend life
backend dated
  cookie sess insert indirect maxidle 60s maxlife 120s
  ${servers}
backend idle
  cookie sess insert maxidle 60s
  ${servers}
backend life
  cookie sess insert maxlife 120s
  ${servers}
backend prefix
  cookie sess prefix
  ${servers}
`;
const ports = ['INDIRECT', 'INSERT', 'PREFIX', 'DATED', 'IDLE', 'LIFE'];
const requests: readonly (readonly string[])[] = [
  [],
  ['sess=two'],
  ['sess=none'],
  ['sess=gone'],
  ['sess='],
  ['sess'],
  ['SESS=two'],
  ['sess=two, a=1'],
  ['a=1, sess=two'],
  ['a=1,sess=two;b=2'],
  ['a=1; sess=two; b=2'],
  ['a=1;sess=two , b=2,c=3'],
  [' a = 1 ; sess = two ; b = 2 '],
  ['a="1, 2; sess=one", sess=two'],
  ['a="1\\"; sess=one"; sess=two'],
  ['sess="two"'],
  ['sess=two; sess=one'],
  ['sess=one, sess=two'],
  ['sess=none, sess=two'],
  ['sess=gone; sess=two'],
  ['sess=two; sess=gone'],
  ['sess=none', 'sess=two'],
  ['a=1', 'sess=two', 'b=2'],
  ['$Version=1; sess=two; $Path=/; a=1; $Path=/x'],
  ['a=1; $Path=/; sess=two; $Path=/; b=2'],
  ['a; sess=two; b'],
  ['sess=two; a'],
  ['sess=two|abcde|abcde; a=1'],
  ['sess=two~value; a=1'],
  ['a=1, sess=two~va=l~ue, b=2'],
  ['sess=two~1; sess=one~2'],
  ['sess=none~1, sess=two~2'],
  ['sess=~1'],
  ['sess=two~'],
];

/** As HAProxy writes it in cookies; rounded down. */
function date(agoSeconds: number): string {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  const steps = Math.floor((Date.now() / 1000 - agoSeconds) / 4);
  return [24, 18, 12, 6, 0].map((shift) => digits.charAt(Math.floor(steps / 2 ** shift) % 64)).join('');
}

const aDay = 86_400;
const dated = [
  'sess=two',
  `sess=two|${date(20)}`,
  `sess=two|${date(20)}|${date(40)}`,
  `sess=two||${date(40)}`,
  `sess=two|${date(90)}`,
  `sess=two|${date(20)}|${date(200)}; a=1`,
  `sess=two|${date(90)}|${date(90)}`,
  `sess=two|${date(-600)}|${date(-600)}`,
  `sess=two|${date(-2 * aDay)}`,
  `sess=two|${date(-2 * aDay)}|${date(-2 * aDay)}`,
  `sess=none|${date(20)}|${date(40)}`,
  `sess=gone|${date(20)}|${date(40)}`,
  `sess=none|${date(20)}|${date(40)}, sess=two`,
  `sess=two|${date(90)}, sess=two|${date(20)}`,
  `sess=two|${date(90)}, sess=none|${date(20)}`,
  `sess=none, sess=two|${date(90)}, sess=gone`,
  `sess=two|${date(20)}x|${date(40)}x`,
  `sess=two|x|y`,
  'sess=two|AAAAA|AAAAA',
  'sess=two|!!!!!|!!!!!',
].map((line) => [line]);

/** Answers with the cookies that it was sent. */
function answer(socket: Socket): void {
  socket.on('data', (bytes: Buffer) => {
    const cookies = bytes
      .toString('latin1')
      .split('\r\n')
      .filter((line) => /^cookie:/i.test(line));
    const body = cookies.map((line) => `[${line.slice('cookie:'.length).trim()}]`).join(' ');
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  });
}

type Case = readonly [port: string, cookies: readonly string[]];

const cases: readonly Case[] = [
  // Blanks that need not be taken out stay here.
  ...requests.flatMap((cookies) =>
    ['INDIRECT', 'INSERT', 'PREFIX'].filter((port) => port !== 'INSERT' || !cookies.join().includes(' = ')).map((port) => [port, cookies] as const),
  ),
  ...dated.flatMap((cookies) => ['INDIRECT', 'DATED', 'IDLE', 'LIFE'].map((port) => [port, cookies] as const)),
];

async function course(twin: Twin): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const [port, cookies] of cases) {
    const lines = twin.lines.length;
    const fields = cookies.map((line) => `Cookie: ${line}\r\n`).join('');
    const text = await rawExchange(twin.port(port), `GET / HTTP/1.1\r\nHost: cookies.test\r\n${fields}Connection: close\r\n\r\n`);
    await until(() => twin.lines.length > lines, {what: `${twin.name} to log ${cookies.join()}`});
    const line = (twin.lines.at(-1) ?? '').replace(/^.*?\]: /, '');
    const set = /^set-cookie: *(\S+)/im.exec(text)?.[1] ?? '-';
    // The time goes on between the two programs.
    const dates = set.replaceAll(/\|([^|;]+)/g, (_, word: string) => (cookies.join().includes(word) ? '|kept' : '|new'));
    seen.push(`${port} ${cookies.join(' / ')}: ${line}, set ${dates}, seen ${text.slice(text.indexOf('\r\n\r\n') + 4)}`);
  }
  return seen;
}

pairTest('a persistence cookie is found, and taken out, where HAProxy finds it', async (t) => {
  t.timeout(90_000);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const values = {ORIGIN: await serve(scope, createServer(), answer)};
  const pair = scope.use(await startPair({configuration, ports, values, directory: directory.path}));
  const [ours, theirs] = [await course(pair.picogate), await course(pair.haproxy)];
  t.deepEqual(ours, theirs);
});
