/** Clients of mode http that leave, or wait, without a whole request: what they are told and what is logged, by Debian's HAProxy and by our program. */
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {connect, createServer, type Socket} from 'node:net';
import {join} from 'node:path';
import test from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve, serveHttp} from './operator-servers.ts';
import {parseStat} from './stat-table.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const frontend = (name: string, options: string): string => `
frontend ${name.toLowerCase()}
  bind 127.0.0.1:\${${name}}${options}
  default_backend b
`;

const configuration = `
global
  stats socket \${DIR}/admin.sock mode 600 level admin
defaults
  mode http
  log 127.0.0.1:\${LOG} local0
  option httplog
  timeout client 5s
  timeout server 5s
  timeout connect 5s
  timeout http-request 500ms
${frontend('PLAIN', '')}
${frontend('QUIET', '\n  option dontlognull')}
${frontend('UNPROBED', '\n  option http-ignore-probes')}
${frontend('ONE', ' proto h1')}
backend b
  server s 127.0.0.1:\${ORIGIN}
`;
const ports = ['PLAIN', 'QUIET', 'UNPROBED', 'ONE'];

const whole = 'GET /whole HTTP/1.1\r\nHost: a.test\r\n\r\n';
/** What comes first; `later`: after the answer to that. */
const beginnings: Readonly<Record<string, {readonly first: string; readonly later: string | null}>> = {
  nothing: {first: '', later: null},
  'an empty line': {first: '\r\n', later: null},
  'what HTTP/2 begins with, too': {first: 'P', later: null},
  'part of a line': {first: 'GET /part HT', later: null},
  'part of a head': {first: 'GET /part HTTP/1.1\r\nHost: a', later: null},
  'a request': {first: whole, later: ''},
  'a request and part of one': {first: whole, later: 'GET /pa'},
};
const ends: Readonly<Record<string, (socket: Socket) => void>> = {
  closes: (socket) => void socket.destroy(),
  'says no more': (socket) => void socket.end(),
  resets: (socket) => void socket.resetAndDestroy(),
  waits: () => undefined,
};

/** Connects, says what it has to say, ends, and is told by the first line of what comes then. */
async function visit(port: number, {first, later}: {readonly first: string; readonly later: string | null}, end: (socket: Socket) => void): Promise<string> {
  const socket = connect({port, host: '127.0.0.1', allowHalfOpen: true});
  let answer = '';
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.setEncoding('latin1').on('data', (text: string) => {
    answer += text;
  });
  socket.write(first);
  if (later !== null) {
    await until(() => answer.includes('get /whole'), {what: 'the first request to be answered'});
    answer = '';
    socket.write(later);
  }
  // What was said is to be there before the end is.
  await new Promise((resolve) => void setTimeout(resolve, 30));
  end(socket);
  socket.once('end', () => void socket.destroy());
  if (!socket.closed) await once(socket, 'close');
  return answer.split('\r\n')[0] ?? '';
}

/** Without what differs by chance: process, addresses and times. */
function shortLine(line: string): string {
  return line.replace(/^.*\]: \S+ \[.*?\] /, '').replace(/^(\S+ \S+) \S+ (\S+) (\d+) .*? (\S{4}) .* "/, '$1 $2 $4 "');
}

/** What is logged until a request after it is. */
async function linesUntilNow(twin: Twin): Promise<readonly string[]> {
  const from = twin.lines.length;
  const socket = connect(twin.port('PLAIN'), '127.0.0.1');
  socket.write('GET /marker HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n');
  socket.resume();
  await once(socket, 'close');
  await until(() => twin.lines.slice(from).some((line) => line.includes('/marker')), {what: `${twin.name} to log the marker`});
  return twin.lines;
}

async function statOf(twin: Twin, port: string): Promise<Readonly<Record<string, string>>> {
  const name = port.toLowerCase();
  return parseStat(await askSocket(join(twin.directory, 'admin.sock'), 'show stat\n')).get(`${name}/FRONTEND`) ?? {};
}

async function course(twin: Twin, port: string): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const [what, beginning] of Object.entries(beginnings)) {
    for (const [how, end] of Object.entries(ends)) {
      // HAProxy keeps the connection until `timeout http-keep-alive`, as we do; nothing is to be seen of it.
      if (what === 'a request' && how === 'waits') continue;
      const from = twin.lines.length;
      const answer = await visit(twin.port(port), beginning, end);
      // On a busy machine the next connection could be seen before the end of this one.
      await until(async () => (await statOf(twin, port))['scur'] === '0', {what: `${twin.name} to see the end of the connection`});
      const lines = (await linesUntilNow(twin)).slice(from).filter((line) => !line.includes('/marker'));
      seen.push(`${what}, ${how}: ${answer}`, ...lines.map(shortLine));
    }
  }
  return seen;
}

for (const port of ports) {
  pairTest(`clients without a whole request: ${port.toLowerCase()}`, async (t) => {
    t.timeout(60_000);
    await using scope = new AsyncDisposableStack();
    const directory = scope.use(await temporaryDirectory());
    const values = {ORIGIN: await serve(scope, createServer(), serveHttp)};
    const pair = scope.use(await startPair({configuration, ports, values, directory: directory.path}));
    const [ours, theirs] = await Promise.all([course(pair.picogate, port), course(pair.haproxy, port)]);
    t.deepEqual(ours, theirs);
    const name = port.toLowerCase();
    const left = `${name} ${name}/<NOSRV> 400 CR-- "<BADREQ>"`;
    t.is(ours[ours.indexOf('nothing, closes: ') + 1] === left, port === 'PLAIN' || port === 'ONE', ours.join('\n'));
    t.is(ours[ours.indexOf('part of a line, resets: ') + 1], left);
    const counted = async (twin: Twin): Promise<readonly (string | undefined)[]> => {
      const row = await statOf(twin, port);
      return ['stot', 'req_tot', 'ereq', 'dreq', 'hrsp_4xx'].map((column) => row[column]);
    };
    t.deepEqual(await counted(pair.picogate), await counted(pair.haproxy));
  });
}
