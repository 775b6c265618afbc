/** The same configurations, in the styles of operators, through Debian's HAProxy and through our program: the same answers, the same lines in the log. */
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {mkdir, readFile, writeFile} from 'node:fs/promises';
import {connect, createServer, type Server, type Socket} from 'node:net';
import {join} from 'node:path';
import {connect as connectTls, createServer as createTlsServer} from 'node:tls';
import {gunzipSync} from 'node:zlib';
import anyTest, {type TestFn} from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {makeTestCertificate} from '../edge/tls/certificates.ts';
import {freePort} from '../helpers/gateway.ts';
import {type ProgramPair, startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

const test = anyTest as TestFn<{pair: ProgramPair; readonly owned: AsyncDisposableStack}>;
const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const configuration = `global
  log 127.0.0.1:\${LOG} format raw local0
  stats socket \${DIR}/admin.sock level admin

defaults web
  mode http
  log global
  option httplog
  timeout connect 2s
  timeout client 10s
  timeout server 10s
  timeout http-request 1s
  timeout queue 300ms
  timeout tunnel 10s

defaults streams
  mode tcp
  log global
  option tcplog
  timeout connect 2s
  timeout client 10s
  timeout server 10s

userlist staff
  group ops users ann
  user ann insecure-password secret
  user bob insecure-password hidden

# TLS passes through by its name, or ends behind a unix socket.
frontend tls-in from streams
  bind 127.0.0.1:\${TLS}
  tcp-request inspect-delay 1s
  acl is_tls req.ssl_hello_type 1
  tcp-request content accept if is_tls
  tcp-request content reject
  use_backend passed if { req.ssl_sni -i pass.test }
  use_backend terminated if { req.ssl_sni -m end .web.test }

backend passed from streams
  server s1 127.0.0.1:\${TLS_ORIGIN}

backend terminated from streams
  server t1 unix@\${DIR}/tls.sock send-proxy-v2

frontend tls-end from web
  bind unix@\${DIR}/tls.sock accept-proxy ssl crt \${CERTIFICATES}/web.pem alpn http/1.1
  option forwardfor
  compression algo gzip
  compression type text/plain
  http-request set-header X-Forwarded-Proto https if { ssl_fc }
  http-request set-header X-Name %[ssl_fc_sni]
  http-request set-var(txn.req_path) path
  http-response set-header Strict-Transport-Security "max-age=31536000; includeSubDomains; preload"
  http-response set-header Cache-Control "public, max-age=31536000" if { var(txn.req_path) -m reg \\.(css|js|png)$ }
  http-response del-header X-Origin
  default_backend origin

frontend plain from web
  bind 127.0.0.1:\${PLAIN}
  monitor-uri /alive
  http-request redirect scheme https code 301 unless { ssl_fc }

frontend content from web
  bind 127.0.0.1:\${CONTENT}
  capture request header Host len 20
  capture request header User-Agent len 8
  capture response header X-Origin len 10
  acl is_api path_beg -i /api/ /v1/
  acl is_static hdr_beg(host) -i static. img.
  http-request set-header X-Request-Start t=%[req.hdr(host),lower,length]
  http-request replace-path /api/(.*) /\\1 if is_api
  http-request deny if { path_sub -i /../ } || { hdr_cnt(host) eq 0 }
  http-request return status 200 content-type text/plain string "none of your business\\n" hdr X-Made here if { path /robots.txt }
  use_backend api if is_api
  use_backend %[req.hdr(x-pool)] if { req.hdr(x-pool) -m found }
  use_backend static if is_static
  default_backend origin

backend api from web
  http-request set-header X-Backend api
  server a1 127.0.0.1:\${ORIGIN}

backend static from web
  http-response set-header X-Backend static
  http-response replace-header X-Origin (.)(.*) \\2\\1
  server b1 127.0.0.1:\${ORIGIN}

backend origin from web
  server o1 127.0.0.1:\${ORIGIN}

frontend limited from web
  bind 127.0.0.1:\${LIMITED}
  stick-table type ip size 1k expire 30s store http_req_rate(30s),gpc0
  http-request track-sc0 src
  http-request deny deny_status 429 hdr Retry-After 30 if { sc_http_req_rate(0) gt 3 }
  default_backend origin

listen guarded from web
  bind 127.0.0.1:\${GUARDED}
  acl signed_in http_auth(staff)
  acl is_ops http_auth_group(staff) ops
  http-request auth realm Staff unless signed_in
  http-request deny if { path_beg /ops } !is_ops
  server s1 127.0.0.1:\${ORIGIN}

listen sticky from web
  bind 127.0.0.1:\${STICKY}
  balance roundrobin
  cookie SRV insert indirect nocache httponly
  server s1 127.0.0.1:\${ORIGIN} cookie one
  server s2 127.0.0.1:\${ORIGIN} cookie two

listen queued from web
  bind 127.0.0.1:\${QUEUED}
  server s1 127.0.0.1:\${ORIGIN} maxconn 1

listen statistics from web
  bind 127.0.0.1:\${STATS}
  stats enable
  stats uri /stats
  stats realm Numbers
  stats auth ann:secret
  stats hide-version

frontend sources from web
  bind 127.0.0.1:\${SOURCES}
  tcp-request connection reject if { src 127.0.0.2 127.1.0.0/16 }
  http-request silent-drop if { src 127.0.0.3 }
  default_backend origin

frontend custom from web
  bind 127.0.0.1:\${CUSTOM}
  http-request capture req.hdr(X-Long) len 5
  unique-id-format %{+X}o\\ %ci
  log-format "%f %b %s %ST %tsc %{+Q}r %HM %HP %HQ %HV %[capture.req.hdr(0)] %[var(txn.who),upper] %{+Q}[var(txn.none)] %CC %hr"
  http-request set-var(txn.who) req.hdr(X-Who)
  default_backend origin

listen failing from web
  bind 127.0.0.1:\${FAILING}
  retries 1
  errorfile 503 \${CERTIFICATES}/503.http
  http-response set-header X-Never seen
  server s1 127.0.0.1:\${CLOSED}

listen impatient from web
  bind 127.0.0.1:\${IMPATIENT}
  timeout server 300ms
  server s1 127.0.0.1:\${ORIGIN}

listen upgraded from web
  bind 127.0.0.1:\${UPGRADED}
  acl is_websocket hdr(Upgrade) -i websocket
  http-request deny unless is_websocket
  server s1 127.0.0.1:\${ORIGIN}

listen mail from streams
  bind 127.0.0.1:\${MAIL}
  server s1 127.0.0.1:\${MAIL_ORIGIN} send-proxy

listen checked from streams
  bind 127.0.0.1:\${CHECKED}
  option tcp-check
  tcp-check send PING\\r\\n
  tcp-check expect string +PONG
  tcp-check send-binary 51554954 # QUIT
  tcp-check send \\r\\n
  tcp-check expect rstring ^\\+(OK|BYE)
  default-server inter 100ms fall 1 rise 1
  server broken 127.0.0.1:\${CLOSED} check
  server spare 127.0.0.1:\${REDIS_ORIGIN} check backup

listen denied from streams
  bind 127.0.0.1:\${DENIED}
  tcp-request inspect-delay 200ms
  tcp-request content accept if { req.payload(0,4) -m bin 50494e47 }
  tcp-request content reject if WAIT_END
  server s1 127.0.0.1:\${REDIS_ORIGIN}

listen unreachable from streams
  bind 127.0.0.1:\${UNREACHABLE}
  retries 0
  server s1 127.0.0.1:\${CLOSED}
`;

const ports = [...configuration.matchAll(/bind 127\.0\.0\.1:\$\{([A-Z_]+)\}/g)].map(([, name = '']) => name);

/** What every server answers, whatever was asked: the head it got, or what the path asks for. */
function answerOf(head: string, socket: Socket): void {
  const [, path = '/'] = head.split(' ');
  const send = (fields: string, body: string): void =>
    void socket.write(
      `HTTP/1.1 200 OK\r\nX-Origin: origin-1\r\nETag: "1"\r\n${fields}Content-Length: ${body.length}\r\n\r\n${head.startsWith('HEAD ') ? '' : body}`,
    );
  if (path.startsWith('/silent')) return;
  if (path.startsWith('/hang-up')) socket.destroy();
  else if (path.startsWith('/cut')) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
  else if (path.startsWith('/nonsense')) socket.end('nonsense\r\n\r\n');
  else if (path.startsWith('/chunks')) socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n');
  else if (path.startsWith('/slow')) setTimeout(() => send('', 'slow'), 150);
  else if (path.startsWith('/text')) send('Content-Type: text/plain\r\n', 'text '.repeat(400));
  else if (/^upgrade: websocket/im.test(head)) {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n');
    socket.removeAllListeners('data');
    socket.on('data', (data: Buffer) => {
      socket.write(data.toString('latin1').toUpperCase());
    });
  } else send('Content-Type: text/html\r\n', head.toLowerCase().split('\r\n').sort().join('\n'));
}

function serveHttp(socket: Socket): void {
  let text = '';
  socket.on('data', (data: Buffer) => {
    text += data.toString('latin1');
    for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
      const head = text.slice(0, end + 4);
      text = text.slice(end + 4);
      answerOf(head, socket);
    }
  });
}

/** Speaks first, as SMTP does, and says what came before the first word of its client. */
function serveMail(socket: Socket): void {
  socket.write('220 mail\r\n');
  let text = '';
  socket.on('data', (data: Buffer) => {
    text += data.toString('latin1');
    if (text.includes('QUIT')) socket.end(`221 ${text.replaceAll(/[0-9]{2,}/g, 'N')}`);
  });
}

function serveRedis(socket: Socket): void {
  socket.on('data', (data: Buffer) => {
    const text = data.toString('latin1');
    if (text.includes('PING')) socket.write('+PONG\r\n');
    if (text.includes('QUIT')) socket.end('+OK\r\n');
  });
}

async function serve(owned: AsyncDisposableStack, server: Server, handler: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  server.on(server.listenerCount('secureConnection') === 0 && 'setSecureContext' in server ? 'secureConnection' : 'connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {
      // 'close' follows.
    });
    handler(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  owned.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  return String(typeof address === 'object' ? address?.port : address);
}

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

test.after.always((t) => t.context.owned?.disposeAsync());

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
    .replaceAll(/<reset>$/g, '')
    .split(/(?=HTTP\/1\.[01] \d{3} )/)
    .map((message) => {
      const [head = '', ...rest] = message.split('\r\n\r\n');
      if (!head.startsWith('HTTP/')) return message;
      const [first = '', ...fields] = head.split('\r\n');
      const body = /transfer-encoding: chunked/i.test(head) ? joined(rest.join('\r\n\r\n')) : Buffer.from(rest.join('\r\n\r\n'), 'latin1');
      const plainBody = /content-encoding: gzip/i.test(head) ? gunzipSync(body) : body;
      return [first, ...fields.map((field) => field.replace(/^[^:]*/, (name) => name.toLowerCase())).sort(), '', plainBody.toString('latin1')].join('\n');
    })
    .join('\n');
}

/** The body that came in chunks. */
function joined(chunks: string): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = chunks.indexOf('\r\n', at);
    const size = Number.parseInt(chunks.slice(at, end), 16);
    if (!(size > 0)) return Buffer.concat(parts);
    parts.push(Buffer.from(chunks.slice(end + 2, end + 2 + size), 'latin1'));
    at = end + 4 + size;
  }
}

/** Ports, dates, times that were measured, and how many connections other tests have. -1 is no measurement. */
function masked(line: string): string {
  return (
    line
      .replace(/127\.0\.0\.(\d):\d+/, '127.0.0.$1:PORT')
      .replace(/\[\d+\/\w+\/\d+:[\d:.]+\]/, '[DATE]')
      .replace(/ (?:-?\d+\/){2,4}\+?-?\d+ (?=\+?\d)/, (times) => times.replaceAll(/(?<!-)\d+/g, 'N'))
      // HAProxy counts an answer in its own form, without the separators of HTTP/1 and what it says of the connection.
      .replace(/ (\d{3}) \d+ (- -|\S+ \S+) /, ' $1 BYTES $2 ')
      .replace(/ \d+\/\d+((?:\/\+?\d+){3}) /, ' N/N$1 ')
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
    lines: 11,
    // What a library of TLS sends besides, and how it says goodbye, is its own affair.
    mask: (line) => line.replace(/(terminated\/t1 \S+) \d+ \S+/, '$1 BYTES END'),
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
    // Who has gone when a line is written is a matter of microseconds.
    mask: (line) => line.replace(/ N\/\d+\/\d+\/\d+\/0 \d+\/\d+ /, ' COUNTS '),
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
    mask: (line) => line.replace(/ 200 \d+ /, ' 200 SIZE '),
    talk: async (twin) => {
      const known = `Authorization: Basic ${Buffer.from('ann:secret').toString('base64')}\r\n`;
      const answers = await inTurn(['/stats', '/stats;csv', '/other'], (path) => plain(twin.port('STATS'), [http(path, path === '/stats' ? '' : known)]));
      return answers.map((answer) =>
        answer.startsWith('HTTP/1.1 200') ? (answer.split('\r\n')[0] ?? '') + (/content-type: [^\r]*/i.exec(answer)?.[0] ?? '') : answer,
      );
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
