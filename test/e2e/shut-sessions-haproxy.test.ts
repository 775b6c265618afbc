/** Sessions that end with the state of their server: what their clients get and what is logged, by Debian's HAProxy and by our program. */
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {connect, createServer, type Socket} from 'node:net';
import {join} from 'node:path';
import test from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve} from './operator-servers.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const configuration = `
global
  stats socket \${DIR}/admin.sock mode 600 level admin
defaults
  log 127.0.0.1:\${LOG} local0
  timeout client 10s
  timeout server 10s
  timeout connect 10s
  timeout http-keep-alive 10s
listen http
  mode http
  bind 127.0.0.1:\${HTTP}
  option httplog
  use_backend secured if { path /secured }
  server s 127.0.0.1:\${ORIGIN} on-marked-down shutdown-sessions on-marked-up shutdown-backup-sessions
  server b 127.0.0.1:\${ORIGIN} backup on-marked-down shutdown-sessions
backend secured
  mode http
  server s 127.0.0.1:\${ORIGIN} ssl verify none on-marked-down shutdown-sessions
listen tcp
  mode tcp
  bind 127.0.0.1:\${TCP}
  option tcplog
  server s 127.0.0.1:\${ORIGIN} on-marked-down shutdown-sessions
listen kept
  mode http
  bind 127.0.0.1:\${KEPT}
  option httplog
  server s 127.0.0.1:\${ORIGIN}
`;

const webSocket = 'Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
/** What the origin says as soon as it is asked; it never ends. */
const answers: Readonly<Record<string, string>> = {
  half: 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf',
  switched: 'HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhalf',
};

/** What is asked for, and what tells that it has come as far as it will. */
const requests: Readonly<Record<string, {readonly text: string; readonly until: string | null}>> = {
  'before the answer': {text: 'GET /silent HTTP/1.1\r\nHost: a.test\r\n\r\n', until: null},
  'in the answer': {text: 'GET /half HTTP/1.1\r\nHost: a.test\r\n\r\n', until: 'half'},
  'in the request': {text: 'POST /silent HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\npart', until: null},
  'in both': {text: 'POST /half HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\npart', until: '200 OK'},
  'in a tunnel': {text: `GET /switched HTTP/1.1\r\nHost: a.test\r\n${webSocket}\r\n`, until: 'half'},
  'while it is connected to': {text: 'GET /secured HTTP/1.1\r\nHost: a.test\r\n\r\n', until: null},
};

/** For each session there is. */
const namesSession = 'shutdown session';

/** Commands of the runtime API, before and after sessions are there. */
interface Way {
  readonly port: 'HTTP' | 'TCP' | 'KEPT';
  readonly before: readonly string[];
  readonly after: readonly string[];
}

const ways: Readonly<Record<string, Way>> = {
  'its server goes into maintenance': {port: 'HTTP', before: [], after: ['set server http/s state maint', 'set server secured/s state maint']},
  'its server is found dead': {port: 'HTTP', before: [], after: ['set server http/s health down', 'set server secured/s health down']},
  'somebody says so': {port: 'HTTP', before: [], after: ['shutdown sessions server http/s', 'shutdown sessions server secured/s']},
  'somebody names it': {port: 'HTTP', before: [], after: [namesSession]},
  'somebody names it, in mode tcp': {port: 'TCP', before: [], after: [namesSession]},
  'a better one comes up': {port: 'HTTP', before: ['set server http/s state maint'], after: ['set server http/s state ready']},
  'its server goes down, in mode tcp': {port: 'TCP', before: [], after: ['set server tcp/s state maint']},
  'somebody says so, in mode tcp': {port: 'TCP', before: [], after: ['shutdown sessions server tcp/s']},
};

/** Without what differs by chance: process, addresses, times and bytes of heads. */
function shortLine(line: string): string {
  return line.replace(/^.*\]: \S+ \[.*?\] /, '').replace(/^(\S+ \S+) \S+ (?:(-?\d+) )?\d+ (?:- - )?([\w-]{2,4}) .*?( ".*)?$/, '$1 $2 $3$4');
}

interface Visit {
  readonly socket: Socket;
  readonly answer: () => string;
}

async function visit(
  twin: Twin,
  port: Way['port'],
  {text, until: awaited}: {readonly text: string; readonly until: string | null},
  asked: () => number,
): Promise<Visit> {
  const before = asked();
  const socket = connect(twin.port(port), '127.0.0.1');
  let answer = '';
  socket.setEncoding('latin1').on('data', (more: string) => {
    answer += more;
  });
  socket.on('error', () => undefined);
  socket.write(text);
  await until(() => asked() > before && (awaited === null || answer.includes(awaited)), {what: `${twin.name} to come as far as it can`});
  return {socket, answer: () => answer};
}

async function command(twin: Twin, line: string): Promise<string> {
  const ask = async (text: string): Promise<string> => askSocket(join(twin.directory, 'admin.sock'), `${text}\n`);
  if (line !== namesSession) return ask(line);
  for (const [, id] of (await ask('show sess')).matchAll(/^(0x[0-9a-f]+): proto=tcpv4 /gm)) await ask(`${namesSession} ${id}`);
  return '';
}

async function course(twin: Twin, {port, before, after}: Way, asked: () => number): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const [where, request] of Object.entries(requests)) {
    if (request.text.includes('/secured') && before.length > 0) continue;
    for (const line of before) await command(twin, line);
    const from = twin.lines.length;
    const {socket, answer} = await visit(twin, port, request, asked);
    for (const line of after) await command(twin, line);
    await until(() => twin.lines.slice(from).some((line) => line.includes('127.0.0.1:')), {what: `${twin.name} to log ${where}`});
    socket.destroy();
    const lines = twin.lines.slice(from).filter((line) => line.includes('127.0.0.1:'));
    seen.push(`${where}: ${answer().split('\r\n')[0] ?? ''}`, ...lines.map(shortLine));
    for (const server of ['http/s', 'secured/s', 'tcp/s']) {
      await command(twin, `set server ${server} health up`);
      await command(twin, `set server ${server} state ready`);
    }
  }
  return seen;
}

async function counted(scope: AsyncDisposableStack): Promise<{readonly port: string; readonly asked: () => number}> {
  let asked = 0;
  const port = await serve(scope, createServer(), (socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (data: Buffer) => {
      asked++;
      const [, name = ''] = /^\S+ \/(\w+)/.exec(data.toString('latin1')) ?? [];
      socket.write(answers[name] ?? '');
    });
  });
  return {port, asked: () => asked};
}

for (const [name, way] of Object.entries(ways)) {
  pairTest(`a session ends when ${name}`, async (t) => {
    t.timeout(60_000);
    await using scope = new AsyncDisposableStack();
    const directory = scope.use(await temporaryDirectory());
    const {port, asked} = await counted(scope);
    const pair = scope.use(await startPair({configuration, ports: ['HTTP', 'TCP', 'KEPT'], values: {ORIGIN: port}, directory: directory.path}));
    const ours = await course(pair.picogate, way, asked);
    t.deepEqual(ours, await course(pair.haproxy, way, asked));
  });
}

pairTest('without shutdown-sessions a session outlives the state of its server', async (t) => {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const {port, asked} = await counted(scope);
  const pair = scope.use(await startPair({configuration, ports: ['HTTP', 'TCP', 'KEPT'], values: {ORIGIN: port}, directory: directory.path}));
  for (const twin of [pair.haproxy, pair.picogate]) {
    const {socket} = await visit(twin, 'KEPT', {text: 'GET /half HTTP/1.1\r\nHost: a.test\r\n\r\n', until: 'half'}, asked);
    await command(twin, 'set server kept/s state maint');
    await command(twin, 'shutdown sessions server kept/s');
    if (!socket.closed) await once(socket, 'close');
    const ended = (): string => twin.lines.find((line) => line.includes('/half')) ?? '';
    await until(() => ended() !== '', {what: `${twin.name} to log it`});
    t.is(shortLine(ended()), 'kept kept/s 200 KD-- "GET /half HTTP/1.1"', twin.name);
  }
});
