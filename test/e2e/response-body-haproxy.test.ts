/** Rules about the bodies of answers, through Debian's HAProxy and through our program: what clients get, and what the log says. */
import {existsSync} from 'node:fs';
import {createServer, type Socket} from 'node:net';
import {setTimeout as wait} from 'node:timers/promises';
import test from 'ava';
import {rawExchange} from '../edge/http/raw-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve} from './operator-servers.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;
const seen = `
  http-response set-header x-seen "%[res.body_len] %[res.body_size] %[res.body,bytes(0,12)]"`;

const configuration = `
defaults
  mode http
  log 127.0.0.1:\${LOG} local0
  option httplog
  timeout client 5s
  timeout server 1s
  timeout connect 5s
listen all
  bind 127.0.0.1:\${ALL}
  http-response wait-for-body time 400ms${seen}
  http-response deny deny_status 403 if { res.body -m sub secret }
  http-response set-var(txn.body) res.body
  http-response return status 202 content-type text/plain lf-string "%[var(txn.body)]!" if { res.body -m beg replace }
  server s 127.0.0.1:\${ORIGIN}
listen least
  bind 127.0.0.1:\${LEAST}
  http-response wait-for-body time 400ms at-least 5${seen}
  server s 127.0.0.1:\${ORIGIN}
frontend twice
  bind 127.0.0.1:\${TWICE}
  http-response set-header x-before 1
  http-response wait-for-body time 400ms unless { path /whole }${seen}
  default_backend twice
backend twice
  http-response wait-for-body time 400ms at-least 3
  http-response set-header x-first "%[res.body_len]"
  http-response allow
  http-response set-header x-never 1
  server s 127.0.0.1:\${ORIGIN}
listen patient
  bind 127.0.0.1:\${PATIENT}
  http-response wait-for-body time 3s${seen}
  server s 127.0.0.1:\${ORIGIN}
`;
const ports = ['ALL', 'LEAST', 'TWICE', 'PATIENT'];

const plain = (length: number): string => `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`;
const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
/** By path: what is sent, 60 ms apart, and whether the connection ends then. */
const answers: Readonly<Record<string, {readonly parts: readonly string[]; readonly ends?: true}>> = {
  '/slow': {parts: [plain(11), 'first', 'second']},
  '/chunked': {parts: [chunked, '3\r\nabc\r\n', '4\r\ndefg\r\n', '0\r\n\r\n']},
  '/trailers': {parts: [chunked, '3\r\nabc\r\n', '0\r\nX-Trailer: 1\r\n\r\n']},
  '/close': {parts: ['HTTP/1.1 200 OK\r\n\r\n', 'until ', 'closed'], ends: true},
  '/secret': {parts: [plain(12), 'a secret', ' one']},
  '/replace': {parts: [plain(7), 'replace']},
  '/empty': {parts: [plain(0)]},
  '/none': {parts: ['HTTP/1.1 204 No Content\r\n\r\n']},
  '/head': {parts: [plain(5)]},
  '/large': {parts: [plain(40_000), 'x'.repeat(10_000), 'y'.repeat(10_000), 'z'.repeat(20_000)]},
  '/late': {parts: [plain(20), 'begins']},
  '/cut': {parts: [plain(20), 'begins'], ends: true},
  '/cut-chunk': {parts: [chunked, '3\r\nabc\r\n'], ends: true},
};

function serveAnswers(socket: Socket): void {
  socket.on('error', () => undefined);
  socket.on('data', (bytes: Buffer) => void answer(socket, bytes.toString('latin1').split(' ')[1] ?? ''));
}

async function answer(socket: Socket, path: string): Promise<void> {
  const {parts, ends} = answers[path] ?? {parts: [`${plain(5)}whole`]};
  for (const part of parts) {
    socket.write(part);
    await wait(60);
  }
  if (ends) socket.end();
}

const asked: readonly (readonly [port: string, path: string])[] = [
  ...[...Object.keys(answers), '/whole'].map((path) => ['ALL', path] as const),
  ...['/slow', '/chunked', '/late', '/whole'].map((path) => ['LEAST', path] as const),
  ...['/slow', '/chunked', '/whole', '/late'].map((path) => ['TWICE', path] as const),
  ['PATIENT', '/late'],
];

/** How much a buffer holds is not the same in both. */
const roughly = (text: string): string =>
  text
    .toLowerCase()
    .replace(/^x-seen: \d{5} /m, 'x-seen: many ')
    .replace(/^date: .*\r\n/m, '');

/** How a body is cut into chunks is up to each. Of a long one the length is enough. */
function withoutChunks(body: string): string {
  const text = body.replace(/(^|\r\n)[0-9a-f]+\r\n/g, '').trimEnd();
  return text.length > 1000 ? String(text.length) : text;
}

async function ask(twin: Twin, port: string, path: string): Promise<string> {
  const lines = twin.lines.length;
  const method = path === '/head' ? 'HEAD' : 'GET';
  const text = await rawExchange(twin.port(port), `${method} ${path} HTTP/1.1\r\nHost: body.test\r\nConnection: close\r\n\r\n`);
  await until(() => twin.lines.length > lines, {what: `${twin.name} to log ${path}`});
  const [head = '', ...body] = text.split('\r\n\r\n');
  const [status = '', ...fields] = roughly(head).split('\r\n');
  const line = (twin.lines.at(-1) ?? '').replace(/^.* (\S+\/\S+) \S+ (\S+) \S+ - - (\S+) .*$/, '$1 $2 $3');
  return [`${port} ${path}`, status, ...fields.sort().filter((field) => !field.startsWith('transfer-')), withoutChunks(body.join('\r\n\r\n')), line].join('\n');
}

async function course(twin: Twin): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const [port, path] of asked) seen.push(await ask(twin, port, path));
  return seen;
}

pairTest('rules see the body of an answer that they have waited for', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const values = {ORIGIN: await serve(scope, createServer({noDelay: true}), serveAnswers)};
  const pair = scope.use(await startPair({configuration, ports, values, directory: directory.path}));
  const [ours, theirs] = await Promise.all([pair.picogate, pair.haproxy].map(course));
  t.deepEqual(ours, theirs);
  const found = (start: string): string => ours?.find((text) => text.startsWith(start)) ?? '';
  t.regex(found('ALL /slow'), /x-seen: 11 11 firstsecond/);
  t.regex(found('ALL /secret'), / 403 /);
});
