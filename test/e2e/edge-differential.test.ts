/** The same configurations, in the styles of operators, through Debian's HAProxy and through our program: the same answers, the same lines in the log. */
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {mkdir, readFile, writeFile} from 'node:fs/promises';
import {connect, createServer, type Socket} from 'node:net';
import {join} from 'node:path';
import {connect as connectTls, createServer as createTlsServer} from 'node:tls';
import {gunzipSync} from 'node:zlib';
import anyTest, {type TestFn} from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {makeTestCertificate} from '../edge/tls/certificates.ts';
import {joinChunks} from '../helpers/chunked-body.ts';
import {freePort} from '../helpers/gateway.ts';
import {type ProgramPair, startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {configuration, ports} from './operator-configuration.ts';
import {serve, serveHttp, serveMail, serveRedis} from './operator-servers.ts';

const test = anyTest as TestFn<{pair: ProgramPair; readonly owned: AsyncDisposableStack}>;
const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

test.before(async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const certificates = join(directory.path, 'certificates');
  await mkdir(certificates);
  const web = await makeTestCertificate(certificates, {file: 'web.pem', names: ['www.web.test', '*.web.test']});
  await writeFile(
    join(certificates, '503.http'),
    'HTTP/1.1 503 Away\r\nContent-Type: text/plain\r\nContent-Length: 10\r\nConnection: close\r\nRetry-After: 7\r\n\r\nback soon\n',
  );
  const [cert, key] = await Promise.all([readFile(web.certificateFile), readFile(web.keyFile)]);
  const values = {
    CERTIFICATES: certificates,
    ORIGIN: await serve(scope, createServer(), serveHttp),
    TLS_ORIGIN: await serve(scope, createTlsServer({cert, key}), serveHttp),
    MAIL_ORIGIN: await serve(scope, createServer(), serveMail),
    REDIS_ORIGIN: await serve(scope, createServer(), serveRedis),
    CLOSED: String(await freePort()),
  };
  const pair = scope.use(await startPair({configuration, ports, values, directory: directory.path}));
  t.context.pair = pair;
  Object.assign(t.context, {owned: scope.move()});
});

test.after.always((t) => t.context.owned.disposeAsync());

/** All that came until the end. */
async function overSocket(socket: Socket, parts: readonly string[]): Promise<string> {
  let text = '';
  socket.on('data', (data: Buffer) => {
    text += data.toString('latin1');
  });
  socket.on('error', () => {
    text += '<reset>';
  });
  const closed = new Promise((resolve) => void socket.once('close', resolve));
  for (const [at, part] of parts.entries()) {
    const before = text.length;
    socket.write(Buffer.from(part, 'latin1'));
    if (at < parts.length - 1) await until(() => text.length > before || socket.destroyed, {what: `an answer to ${JSON.stringify(part)}`});
  }
  await closed;
  return text;
}

async function plain(port: number, parts: readonly string[], from = '127.0.0.1'): Promise<string> {
  return overSocket(connect({port, host: '127.0.0.1', localAddress: from}), parts);
}

async function secure(port: number, servername: string, parts: readonly string[]): Promise<string> {
  return overSocket(connectTls({port, host: '127.0.0.1', servername, rejectUnauthorized: false, ALPNProtocols: ['http/1.1']}), parts);
}

/** The order of fields with different names, how a body is cut into chunks and what a library's compression makes of it differ by nature. */
function comparable(text: string): string {
  return text
    .split(/(?=HTTP\/1\.[01] \d{3} )/)
    .map((message) => {
      const [head = '', ...rest] = message.split('\r\n\r\n');
      if (!head.startsWith('HTTP/')) return message;
      const [first = '', ...fields] = head.split('\r\n');
      const body = /transfer-encoding: chunked/i.test(head) ? joinChunks(rest.join('\r\n\r\n')) : Buffer.from(rest.join('\r\n\r\n'), 'latin1');
      const plainBody = /content-encoding: gzip/i.test(head) ? gunzipSync(body) : body;
      // A 503 of ours says when to come back.
      const compared = first.includes(' 503 ') ? fields.filter((field) => field !== 'retry-after: 5') : fields;
      return [first, ...compared.map((field) => field.replace(/^[^:]*/, (name) => name.toLowerCase())).sort(), '', plainBody.toString('latin1')].join('\n');
    })
    .join('\n');
}

/** Ports, dates, times that were measured, and how many connections there are, of which HAProxy may not have noticed yet that one is over. -1 is no measurement. */
function masked(line: string): string {
  return (
    line
      .replace(/127\.0\.0\.(\d):\d+/, '127.0.0.$1:PORT')
      .replace(/\[\d+\/\w+\/\d+:[\d:.]+\]/, '[DATE]')
      .replace(/ (?:-?\d+\/){2,4}\+?-?\d+ (?=\+?\d)/, (times) => times.replaceAll(/(?<!-)\d+/g, 'N'))
      // HAProxy counts an answer in its own form, without the separators of HTTP/1 and what it says of the connection.
      .replace(/ (\d{3}) \d+ (- -|\S+ \S+) /, ' $1 BYTES $2 ')
      .replace(/ \d+\/\d+\/\d+\/\d+\/(\+?\d+) /, ' N/N/N/N/$1 ')
  );
}

interface Scenario {
  readonly name: string;
  /** Whose lines are compared, in the order of their ends. */
  readonly frontends: readonly string[];
  readonly lines: number;
  /** Fields of lines that are measured another way. */
  readonly mask?: (line: string) => string;
  readonly talk: (twin: Twin) => Promise<readonly string[]>;
}

const http = (path: string, fields = ''): string => `GET ${path} HTTP/1.1\r\nHost: www.web.test\r\n${fields}Connection: close\r\n\r\n`;
const kept = (path: string, fields = ''): string => `GET ${path} HTTP/1.1\r\nHost: www.web.test\r\n${fields}\r\n`;

async function inTurn<T>(what: readonly T[], ask: (one: T) => Promise<string>): Promise<string[]> {
  const answers: string[] = [];
  for (const one of what) answers.push(await ask(one));
  return answers;
}

const scenarios: readonly Scenario[] = [
  {
    name: 'TLS by its name, passed through or ended behind a unix socket',
    frontends: ['tls-in', 'tls-end~'],
    lines: 12,
    // What a library of TLS sends besides, and how it says goodbye, is its own affair.
    mask: (line) => line.replace(/(\w+\/[st]1 \S+) \d+ \S+ \S+ 0\/0$/, '$1 END'),
    talk: async (twin) => {
      const port = twin.port('TLS');
      return [
        ...(await inTurn(['/a', '/style.css', '/text'], (path) => secure(port, 'www.web.test', [http(path, 'Accept-Encoding: gzip\r\n')]))),
        await secure(port, 'deep.web.test', [kept('/1'), http('/2')]),
        await secure(port, 'pass.test', [http('/hang-up')]),
        await secure(port, 'other.test', [http('/')]),
        await plain(port, ['GET / HTTP/1.0\r\n\r\n']),
      ];
    },
  },
  {
    name: 'plain requests are sent to https, and the monitor is answered',
    frontends: ['plain'],
    lines: 2,
    talk: async (twin) => inTurn(['/alive', '/x?y=1', '/'], (path) => plain(twin.port('PLAIN'), [http(path)])),
  },
  {
    name: 'content switching by path, host and header, with captures',
    frontends: ['content'],
    lines: 12,
    talk: async (twin) => {
      const port = twin.port('CONTENT');
      return [
        ...(await inTurn(['/', '/api/users?id=1', '/V1/x', '/robots.txt', '/a/../b', '/chunks', '/cut', '/nonsense'], (path) =>
          plain(port, [http(path, 'User-Agent: curl/8.5.0\r\n')]),
        )),
        await plain(port, ['GET / HTTP/1.1\r\nHost: IMG.web.test\r\nConnection: close\r\n\r\n']),
        await plain(port, [http('/', 'X-Pool: static\r\n')]),
        await plain(port, [http('/', 'X-Pool: nowhere\r\n')]),
        await plain(port, ['HEAD /text HTTP/1.1\r\nHost: www.web.test\r\nConnection: close\r\n\r\n']),
      ];
    },
  },
  {
    name: 'requests over the limit',
    frontends: ['limited'],
    lines: 5,
    talk: async (twin) => inTurn([1, 2, 3, 4, 5], () => plain(twin.port('LIMITED'), [http('/')])),
  },
  {
    name: 'tcp-request content rules look at each request',
    frontends: ['inspected'],
    lines: 6,
    // We have read a request when it is refused; HAProxy has only looked at it.
    mask: (line) => line.replace(/ \S+ -1 (.*) "(?:<BADREQ>|GET \S+ HTTP\/1\.1)"$/, ' TIMES -1 $1 REQUEST'),
    talk: async (twin) => {
      const port = twin.port('INSPECTED');
      return [
        await plain(port, [kept('/api/x'), http('/other')]),
        ...(await inTurn(['/third', '/backend', '/refused'], (path) => plain(port, [http(path)]))),
        await plain(port, [http('/', 'X-Bad: 1\r\n')]),
      ];
    },
  },
  {
    name: 'users and groups',
    frontends: ['guarded'],
    lines: 5,
    talk: async (twin) =>
      inTurn(
        [
          ['/', ''],
          ['/', 'ann:wrong'],
          ['/', 'bob:hidden'],
          ['/ops', 'bob:hidden'],
          ['/ops', 'ann:secret'],
        ] as const,
        ([path, user]) => plain(twin.port('GUARDED'), [http(path, user === '' ? '' : `Authorization: Basic ${Buffer.from(user).toString('base64')}\r\n`)]),
      ),
  },
  {
    name: 'cookies lead back to their server',
    frontends: ['sticky'],
    lines: 5,
    talk: async (twin) =>
      inTurn(['', 'SRV=two', 'SRV=one', 'SRV=gone', 'a=b; SRV=two; c=d'], (cookie) =>
        plain(twin.port('STICKY'), [http('/', cookie === '' ? '' : `Cookie: ${cookie}\r\n`)]),
      ),
  },
  {
    name: 'a full server makes a queue, which does not wait for ever',
    frontends: ['queued'],
    lines: 3,
    // HAProxy also tells how long a request that left the queue had waited, and behind how many.
    mask: (line) => line.replace(/ N\/\S+ 503 /, ' TIMES 503 ').replace(/ N\/N\/\S+ 0\/\d /, ' COUNTS '),
    talk: async (twin) => {
      const port = twin.port('QUEUED');
      const first = connect({port, host: '127.0.0.1'});
      first.write(kept('/silent'));
      await until(async () => isServing(twin));
      const late = await plain(port, [http('/slow')]);
      first.destroy();
      return [late, await plain(port, [http('/slow')])];
    },
  },
  {
    name: 'the statistics page asks who one is',
    frontends: ['statistics'],
    lines: 3,
    // HAProxy calls the page a server of its own, and its refusal a 400.
    mask: (line) => line.replace(/^.* (\w\w--) .*"(.*)"$/, '$1 $2'),
    talk: async (twin) => {
      const known = `Authorization: Basic ${Buffer.from('ann:secret').toString('base64')}\r\n`;
      const answers = await inTurn(['/stats', '/stats;csv', '/other'], (path) => plain(twin.port('STATS'), [http(path, path === '/stats' ? '' : known)]));
      return answers.map((answer) =>
        answer.startsWith('HTTP/1.1 200') ? (answer.split('\r\n')[0] ?? '') + (/content-type: [^\r]*/i.exec(answer)?.[0] ?? '') : answer,
      );
    },
  },
  {
    name: 'the statistics page is for whom its rules allow it',
    frontends: ['judged'],
    lines: 5,
    // HAProxy calls the page a server of its own, and what asks for a password a 400.
    mask: (line) => line.replace(/^.* (\w\w--) .*"(.*)"$/, '$1 $2'),
    talk: async (twin) => {
      const known = `Authorization: Basic ${Buffer.from('ann:secret').toString('base64')}\r\n`;
      const answers = await inTurn(['', known, 'X-Good: 1\r\n', `X-Bad: 1\r\n${known}`, 'X-Bad: 1\r\nX-Good: 1\r\n'], (fields) =>
        plain(twin.port('JUDGED'), [http('/stats;csv', fields)]),
      );
      return answers.map((answer) => (answer.startsWith('HTTP/1.1 200') ? 'HTTP/1.1 200' : answer));
    },
  },
  {
    name: 'sources that are not wanted',
    frontends: ['sources'],
    lines: 2,
    talk: async (twin) => inTurn(['127.0.0.1', '127.0.0.2', '127.1.2.3', '127.0.0.1'], (from) => plain(twin.port('SOURCES'), [http('/')], from)),
  },
  {
    name: 'a log format of its own',
    frontends: ['custom'],
    lines: 2,
    talk: async (twin) => inTurn(['/a?b=c"d', '/slow'], (path) => plain(twin.port('CUSTOM'), [http(path, 'X-Long: 123456789\r\nX-Who: somebody\r\n')])),
  },
  {
    name: 'a server that is away: the error file',
    frontends: ['failing'],
    lines: 2,
    talk: async (twin) => inTurn(['GET', 'HEAD'], (method) => plain(twin.port('FAILING'), [http('/').replace('GET', method)])),
  },
  {
    name: 'timeouts of client and server, and servers that hang up',
    frontends: ['impatient'],
    lines: 5,
    talk: async (twin) => {
      const port = twin.port('IMPATIENT');
      return Promise.all([plain(port, [http('/silent')]), plain(port, ['GET / HTTP/1.1\r\nHost: x\r\n'])]).then(async (answers) => [
        ...answers,
        await plain(port, [http('/hang-up')]),
        await plain(port, [http('/cut')]),
        await plain(port, ['BAD\r\n\r\n']),
      ]);
    },
  },
  {
    name: 'a WebSocket',
    frontends: ['upgraded'],
    lines: 2,
    talk: async (twin) => {
      const port = twin.port('UPGRADED');
      const socket = connect({port, host: '127.0.0.1'});
      let text = '';
      socket.on('data', (data: Buffer) => {
        text += data.toString('latin1');
      });
      socket.write(
        'GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      );
      await until(() => text.includes('\r\n\r\n'));
      socket.write('frame one');
      await until(() => text.includes('FRAME ONE'));
      socket.end();
      await once(socket, 'close');
      return [text, await plain(port, [http('/')])];
    },
  },
  {
    name: 'a server that speaks first, told who its client is',
    frontends: ['mail'],
    lines: 1,
    talk: async (twin) => [await plain(twin.port('MAIL'), ['QUIT\r\n'])],
  },
  {
    name: 'checks by the words of a protocol choose the spare server',
    frontends: ['checked'],
    lines: 1,
    talk: async (twin) => {
      await until(async () => /checked,broken(,[^,]*){15},DOWN/.test(await askSocket(join(twin.directory, 'admin.sock'), 'show stat\n')), {
        what: `${twin.name}: a server that is down`,
      });
      return [await plain(twin.port('CHECKED'), ['PING\r\n', 'QUIT\r\n'])];
    },
  },
  {
    name: 'streams are judged by their first bytes',
    frontends: ['denied'],
    lines: 3,
    talk: async (twin) => inTurn([['PING\r\n', 'QUIT\r\n'], ['SCAN'], []], (parts) => plain(twin.port('DENIED'), parts)),
  },
  {
    name: 'answers are judged by their first bytes',
    frontends: ['answers'],
    lines: 2,
    // HAProxy counts what it has of the server, we what the client got.
    mask: (line) => line.replace(/ \d+ PD /, ' BYTES PD '),
    talk: async (twin) => inTurn([['PING\r\n', 'QUIT\r\n'], ['NONSENSE\r\n']], (parts) => plain(twin.port('ANSWERS'), parts)),
  },
  {
    name: 'a stream to nobody',
    frontends: ['unreachable'],
    lines: 1,
    talk: async (twin) => [await plain(twin.port('UNREACHABLE'), ['hello'])],
  },
];

/** Whether the only place is taken. */
async function isServing(twin: Twin): Promise<boolean> {
  const csv = await askSocket(join(twin.directory, 'admin.sock'), 'show stat queued 4 -1\n');
  return csv.split('\n')[1]?.split(',')[4] === '1';
}

function linesOf(twin: Twin, frontends: readonly string[]): string[] {
  return twin.lines.filter((line) => frontends.some((name) => line.includes(`] ${name} `) || line.startsWith(`${name} `)));
}

for (const {name, frontends, lines, talk, mask = (line: string) => line} of scenarios) {
  pairTest(name, async (t) => {
    t.timeout(30_000);
    const {haproxy, picogate} = t.context.pair;
    const [theirs, ours] = await Promise.all([talk(haproxy), talk(picogate)]);
    t.deepEqual(ours.map(comparable), theirs.map(comparable));
    for (const twin of [haproxy, picogate]) {
      await until(() => linesOf(twin, frontends).length >= lines, {what: `${lines} lines of ${twin.name}`, timeoutMs: 5000}).catch(() => undefined);
    }
    const [wanted, written] = [haproxy, picogate].map((twin) =>
      linesOf(twin, frontends)
        .map((line) => mask(masked(line)))
        .sort(),
    );
    t.deepEqual(written, wanted);
    t.is(wanted?.length, lines);
  });
}

pairTest('what happens to servers is told where the log of their backend goes', async (t) => {
  const {haproxy, picogate} = t.context.pair;
  const told = ({lines}: Twin): string[] =>
    [...new Set(lines.filter((line) => /answering|told/.test(line)).map((line) => line.replace(/\d+ms/, 'Nms')))].sort();
  for (const twin of [haproxy, picogate]) {
    for (const command of ['disable server told/s1', 'enable server told/s1', 'set weight told/s1 0']) {
      await askSocket(join(twin.directory, 'admin.sock'), `${command}\n`);
    }
  }
  for (const twin of [haproxy, picogate])
    await until(() => told(twin).some((line) => line.includes('DOWN. ')), {what: `${twin.name}: a line of a server that is down`});
  t.deepEqual(told(picogate), told(haproxy));
  t.is(told(haproxy).length, 9);
});
