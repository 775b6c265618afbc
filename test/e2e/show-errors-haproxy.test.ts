/** `show errors`: what could not be read of clients and servers, as Debian's HAProxy and our program show it. */
import {existsSync} from 'node:fs';
import {connect, createServer} from 'node:net';
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
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend fe
  bind 127.0.0.1:\${FRONT}
  default_backend be
backend be
  server s0 127.0.0.1:\${ORIGIN} backup
  server s1 127.0.0.1:\${ORIGIN}
listen both
  bind 127.0.0.1:\${BOTH}
  server s2 127.0.0.1:\${ORIGIN}
`;

const head = 'GET / HTTP/1.1\r\nHost: a\r\n';
const requests: Readonly<Record<string, string>> = {
  'a space in a name': `${head}x y: a\r\n\r\n`,
  'another protocol': 'GET / HTTX/1.1\r\nHost: a\r\n\r\n',
  'a byte in the target': 'GET /\x80a HTTP/1.1\r\nHost: a\r\n\r\n',
  'a method': 'G@(T / HTTP/1.1\r\n\r\n',
  TLS: '\x16\x03\x01abc\r\n\r\n',
  'no colon': `${head}nocolon\r\n\r\n`,
  'no length': `${head}Content-Length: x\r\n\r\n`,
  'two lengths': `${head}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`,
  'two hosts': `${head}Host: b\r\n\r\n`,
  'another host': 'GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n',
  'CR alone': 'GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n',
  'a coding': 'GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n',
  'no name': `${head}: b\r\n\r\n`,
  'a long line with escapes': `GET /${'a'.repeat(200)} HTTP/1.1\r\nx\\\t\x1by: ${'\xff\\a'.repeat(50)}\r\n\r\n`,
  'lines of every width': `${head}${Array.from({length: 8}, (_, more) => `n${'x'.repeat(64 + more)}: \\\r\n`).join('')}x y: a\r\n\r\n`,
};

const answers: Readonly<Record<string, string>> = {
  name: 'HTTP/1.1 200 OK\r\na: b\r\nx y: a\r\n\r\nbody\xff\x1b\\\t',
  status: 'HTTP/1.1 2x0 OK\r\n\r\n',
  length: 'HTTP/1.1 200 OK\r\ncontent-length: 1x\r\n\r\n',
  lengths: 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\nContent-length: 2\r\n\r\n',
  early: 'HTTP/1.1 103 Early\r\na: b\r\n\r\nHTTP/1.1 200 OK\r\nx y: a\r\n\r\n',
  chunk: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n',
};

async function say(port: number, text: string): Promise<void> {
  const client = connect(port, '127.0.0.1');
  client.on('error', () => undefined).resume();
  client.write(Buffer.from(text, 'latin1'));
  await until(() => client.closed, {what: 'the client to be answered'});
}

/** Without what is HAProxy's own: its state machine, its ring, and what is free in a buffer that some of this stands before. */
async function shown(twin: Twin, command: string): Promise<string> {
  const text = await askSocket(join(twin.directory, 'admin.sock'), `${command}\n`);
  return (
    text
      .replace(/\[\d\d\/\w{3}\/\d{4}:\d\d:\d\d:\d\d\.\d{3}\]/g, '[date]')
      .replace(/src 127\.0\.0\.1:\d+/g, 'src client')
      .replace(/wraps at \d+/g, 'wraps')
      // HAProxy counts from the last head on, and shows what stands before it, too.
      .replace('len 55, wraps, error at position 18', 'len 55, wraps, error at position 46')
      .replace(/^ {2}H1 connection flags .*\n.*\n.* :$/gm, '  reason :')
      .replace(/^ {2}Cannot read HTTP message: .* :$/gm, '  reason :')
  );
}

async function course(twin: Twin): Promise<readonly string[]> {
  const seen = [await shown(twin, 'show errors')];
  for (const [what, text] of Object.entries(requests)) {
    await say(twin.port('FRONT'), text);
    seen.push(`${what}\n${await shown(twin, 'show errors')}`);
  }
  for (const name of Object.keys(answers)) {
    await say(twin.port('FRONT'), `GET /${name} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    seen.push(`${name}\n${await shown(twin, 'show errors be')}`);
  }
  await say(twin.port('BOTH'), requests['no colon'] ?? '');
  await say(twin.port('BOTH'), 'GET /name HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  for (const words of [
    '',
    ' fe',
    ' be',
    ' 2',
    ' 3 request',
    ' 3 response',
    ' fe request',
    ' fe response',
    ' both',
    ' both request',
    ' -1',
    ' 99',
    ' 0',
    ' request',
    ' no',
  ]) {
    seen.push(`${words}\n${await shown(twin, `show errors${words}`)}`);
  }
  return seen;
}

pairTest('requests and answers that cannot be read are shown with the place of the error', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const {path} = scope.use(await temporaryDirectory());
  const origin = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (asked) => socket.end(Buffer.from(answers[/^GET \/(\S*)/.exec(asked.toString())?.[1] ?? ''] ?? '', 'latin1')));
  });
  const values = {ORIGIN: await serve(scope, origin, () => undefined)};
  const pair = scope.use(await startPair({configuration, ports: ['FRONT', 'BOTH'], values, directory: path}));
  const ours = await course(pair.picogate);
  t.deepEqual(ours, await course(pair.haproxy));
  t.regex(ours[1] ?? '', /error at position 26\n {2}reason :\n {2}\n {2}00000 {2}GET \/ HTTP\/1\.1\\r\\n\n/);
});
