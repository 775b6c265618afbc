/** What waits for the body of a request: the same requests, sent piece by piece, to Debian's HAProxy and to our program. */
import {existsSync} from 'node:fs';
import {setTimeout as delay} from 'node:timers/promises';
import test from 'ava';
import {rawClient} from '../edge/http/raw-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const names = ['A', 'B', 'C', 'D', 'E'] as const;

const configuration = `
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
  timeout http-request 700ms
frontend buffered
  bind 127.0.0.1:\${FRONT}
  option http-buffer-request
  http-request set-var(txn.front) req.body_len
  http-request deny deny_status 403 if { req.body -m sub evil }
  use_backend posted if { req.body_param(to) -m str posted }
  default_backend plain
frontend backed
  bind 127.0.0.1:\${BACK}
  http-request set-var(txn.front) req.body_len
  default_backend buffering
frontend hashed
  bind 127.0.0.1:\${HASH}
  default_backend hashing
backend plain
  http-request return status 200 content-type text/plain lf-string "plain %[var(txn.front)] %[req.body]"
backend posted
  http-request return status 200 content-type text/plain lf-string "posted %[var(txn.front)]"
backend buffering
  option http-buffer-request
  http-request return status 200 content-type text/plain lf-string "%[var(txn.front)] %[req.body_len] %[req.body]"
backend hashing
  balance url_param user check_post
  use-server B if { path /b }
${names.map((name) => `  server ${name} 127.0.0.1:\${${name}}`).join('\n')}
${names.map((name) => `listen ${name}\n  bind 127.0.0.1:\${${name}}\n  option http-buffer-request\n  http-request return status 200 content-type text/plain lf-string "${name} %[req.body]"`).join('\n')}
`;

interface Post {
  readonly to: 'FRONT' | 'BACK' | 'HASH';
  readonly path?: string;
  readonly method?: string;
  readonly fields?: string;
  /** Sent one after the other; the head says how long they are together. */
  readonly pieces: readonly string[];
  readonly lengthBytes?: number;
}

const posts: readonly Post[] = [
  {to: 'FRONT', pieces: ['go', 'od']},
  {to: 'FRONT', pieces: ['this is ev', 'il']},
  {to: 'FRONT', pieces: ['x=1&to=po', 'sted&y=2']},
  {to: 'FRONT', pieces: []},
  {to: 'FRONT', pieces: ['abc'], fields: 'Expect: 100-continue\r\n'},
  {to: 'FRONT', pieces: ['too short'], lengthBytes: 20},
  {to: 'BACK', pieces: ['hel', 'lo']},
  {to: 'BACK', pieces: ['too short'], lengthBytes: 20},
  ...['1', '2', '3', '4', '5', '6', '7', '8'].map((user): Post => ({to: 'HASH', pieces: ['x=1&us', `er=${user}&y=2`]})),
  {to: 'HASH', pieces: ['user=2'], path: '/?user=3'},
  {to: 'HASH', pieces: ['', 'user='], path: '/'},
  {to: 'HASH', pieces: ['user', '=7'], path: '/b'},
  {to: 'HASH', pieces: ['user=1'], lengthBytes: 9},
];

async function exchange(port: number, {path = '/', method = 'POST', fields = '', pieces, lengthBytes}: Post): Promise<string> {
  const length = lengthBytes ?? pieces.join('').length;
  using client = await rawClient(port, `${method} ${path} HTTP/1.1\r\nHost: body.test\r\n${fields}Content-Length: ${length}\r\nConnection: close\r\n\r\n`);
  if (fields.startsWith('Expect')) await client.received('100 Continue');
  for (const piece of pieces) {
    // Long enough for the piece before to be looked at by itself.
    await delay(60);
    client.socket.write(piece);
  }
  const text = await client.over;
  const last = text.slice(text.lastIndexOf('HTTP/1.1 '));
  const status = last.slice(9, 12);
  return `${path} ${pieces.join('|')}: ${status} ${status === '200' ? last.slice(last.indexOf('\r\n\r\n') + 4) : ''}`;
}

async function course(twin: Twin): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const post of posts) seen.push(`${post.to} ${await exchange(twin.port(post.to), post)}`);
  return seen;
}

const open = (directory: string) => startPair({configuration, ports: ['FRONT', 'BACK', 'HASH', ...names], values: {}, directory});

pairTest('rules and the choice of a server wait for the body, and no longer than a head may take', async (t) => {
  await using directory = await temporaryDirectory();
  await using pair = await open(directory.path);
  const [expected, found] = await Promise.all([course(pair.haproxy), course(pair.picogate)]);
  t.true(expected[0]?.endsWith(': 200 plain 4 good'), expected[0]);
  t.true(new Set(expected.slice(8, 16).map((line) => line.split(': ')[1])).size > 1, 'the parameters lead to several servers');
  t.deepEqual(found, expected);
});

pairTest('tune.bufsize says how much of a body is seen', async (t) => {
  for (const [size, status] of [
    [16_384, '200'],
    [65_536, '403'],
  ] as const) {
    await using directory = await temporaryDirectory();
    await using pair = await startPair({
      configuration: `
global
  tune.bufsize ${size}
defaults
  mode http
  timeout client 5s
frontend front
  bind 127.0.0.1:\${FRONT}
  option http-buffer-request
  http-request deny if { req.body -m sub end }
  http-request return status 200
`,
      ports: ['FRONT'],
      values: {},
      directory: directory.path,
    });
    const post: Post = {to: 'FRONT', pieces: ['a'.repeat(20_000), 'a'.repeat(20_000), 'the end']};
    for (const twin of [pair.haproxy, pair.picogate]) t.regex(await exchange(twin.port('FRONT'), post), new RegExp(`: ${status} $`), `${twin.name} ${size}`);
  }
});

pairTest('what is longer than can be kept is looked at as far as it is here, and reaches the server whole', async (t) => {
  await using directory = await temporaryDirectory();
  await using pair = await startPair({
    configuration: `
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend front
  bind 127.0.0.1:\${FRONT}
  option http-buffer-request
  http-request set-header X-Sees true if { req.body -m beg aaa }
  http-request wait-for-body time 2s
  default_backend back
backend back
  option http-buffer-request
  server origin 127.0.0.1:\${ORIGIN}
listen origin
  bind 127.0.0.1:\${ORIGIN}
  http-request return status 200 content-type text/plain lf-string "%[req.hdr(x-sees)]"
`,
    ports: ['FRONT', 'ORIGIN'],
    values: {},
    directory: directory.path,
  });
  const post: Post = {to: 'FRONT', pieces: ['a'.repeat(60_000), 'a'.repeat(60_000)]};
  for (const twin of [pair.haproxy, pair.picogate]) t.true((await exchange(twin.port('FRONT'), post)).endsWith(': 200 true'), twin.name);
});
