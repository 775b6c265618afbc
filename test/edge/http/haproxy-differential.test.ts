/**
 * The same requests through Debian's HAProxy and through ours, with rules that mean the same: the same answers, and the same seen by the server.
 * Where ours is stricter (both lengths, NUL, blanks in the request line), smuggling.test.ts says so.
 */

import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {writeFile} from 'node:fs/promises';
import {createServer} from 'node:net';
import {join} from 'node:path';
import test from 'ava';
import type {BackendConfig, CookiePersistence, FrontendConfig} from '../../../src/config/proxy-value.ts';
import type {HttpRequestAction, HttpResponseAction} from '../../../src/config/rules.ts';
import {startDaemon} from '../../../src/core/command.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {until} from '../../helpers/until.ts';
import {condition, format} from './evaluator.ts';
import {openTestHttp, position} from './http-fixture.ts';
import {scriptedOrigin} from './origin.ts';
import {rawExchange} from './raw-client.ts';

const haproxyTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function startHaproxy(lines: {
  readonly frontend: readonly string[];
  readonly backend: readonly string[];
  readonly origin: number;
}): Promise<{readonly port: number} & AsyncDisposable> {
  const directory = await temporaryDirectory();
  const port = await freePort();
  const file = join(directory.path, 'haproxy.cfg');
  await writeFile(
    file,
    `defaults
  mode http
  timeout connect 2s
  timeout client 5s
  timeout server 5s
frontend front
  bind 127.0.0.1:${port}
${lines.frontend.map((line) => `  ${line}\n`).join('')}  default_backend back
backend back
${lines.backend.map((line) => `  ${line}\n`).join('')}  server s1 127.0.0.1:${lines.origin} cookie c1
`,
  );
  const daemon = await startDaemon(['/usr/sbin/haproxy', '-db', '-f', file], {stdio: ['ignore', 'ignore', 'pipe'], stopSignal: 'SIGKILL'});
  let ended: string | null = null;
  void daemon.exited.then(({stderr}) => {
    ended = stderr;
  });
  await until(
    async () => {
      if (ended !== null) throw new Error(`haproxy has ended: ${ended}`);
      return rawExchange(port, 'X\r\n\r\n').then(
        () => true,
        () => false,
      );
    },
    {what: 'haproxy to listen'},
  );
  return {
    port,
    async [Symbol.asyncDispose]() {
      await daemon[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** Fields in their order mean the same in another order, if their names differ; ports and dates are different by nature. */
function comparable(message: string): string {
  const [head = '', ...body] = message.split('\r\n\r\n');
  const [first = '', ...fields] = head.split('\r\n');
  return [first, ...fields.map((field) => field.replace(/^([^:]*)/, (name) => name.toLowerCase())).sort(), '', body.join('\r\n\r\n')].join('\n');
}

interface Case {
  readonly name: string;
  readonly frontend?: readonly string[];
  readonly backend?: readonly string[];
  readonly ours?: {readonly frontend?: Partial<FrontendConfig>; readonly backend?: Partial<BackendConfig>};
  readonly requests: readonly string[];
  readonly answer?: string;
}

const request = (...actions: readonly HttpRequestAction[]) => ({
  http: {request: actions.map((action) => ({action, condition: null, position})), response: [], afterResponse: []},
});
const response = (...actions: readonly HttpResponseAction[]) => ({
  http: {request: [], response: actions.map((action) => ({action, condition: null, position})), afterResponse: []},
});
const redirect = (more: Partial<Extract<HttpRequestAction, {kind: 'redirect'}>>): HttpRequestAction => ({
  kind: 'redirect',
  to: 'location',
  value: [],
  code: 302,
  dropQuery: false,
  appendSlash: false,
  ignoreEmpty: false,
  setCookie: null,
  clearCookie: null,
  ...more,
});
const cookie = (more: Partial<CookiePersistence>): CookiePersistence => ({
  name: 'SRV',
  how: 'insert',
  indirect: false,
  noCache: false,
  postOnly: false,
  preserve: false,
  httpOnly: false,
  secure: false,
  domains: [],
  maxIdleMs: null,
  maxLifeMs: null,
  dynamic: false,
  attributes: [],
  ...more,
});

const get = (path = '/a/b?q=1', fields = ''): string => `GET ${path} HTTP/1.1\r\nHost: h\r\n${fields}Connection: close\r\n\r\n`;
const withCookie = (value: string): string => get('/', `Cookie: a=1; SRV=${value}; b=2\r\n`);
const setsCookie = 'HTTP/1.1 200 OK\r\nSet-Cookie: SRV=own; path=/x\r\nContent-Length: 2\r\n\r\nok';
const text = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: "tag"\r\nContent-Length: 1000\r\n\r\n${'x'.repeat(1000)}`;

const cases: readonly Case[] = [
  {
    name: 'framing',
    requests: [
      get(),
      'HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n',
      'GET / HTTP/1.0\r\n\r\n',
      'GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\nHost: h\r\n\r\n',
      'OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n',
      'GET http://h/abs HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n',
      'GET http://other/abs HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n',
      `${get('/1').replace('Connection: close\r\n', '')}${get('/2')}`,
      get('/', 'X-Empty:\r\nX-Blank:   a b  \r\nX-Twice: 1\r\nX-Twice: 2\r\n'),
      'GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: h\r\nA b: c\r\n\r\n',
      '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
    ],
  },
  {
    name: 'a chunked answer',
    answer: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Up: Case\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
    requests: [get(), 'HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'],
  },
  {name: 'answers without a body', answer: 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n', requests: [get()]},
  {name: 'an answer that is none', answer: 'nonsense\r\n\r\n', requests: [get()]},
  {
    name: 'redirects',
    frontend: [
      'http-request redirect location /x code 301 if { path /1 }',
      'http-request redirect prefix http://p drop-query append-slash if { path /2 }',
      'http-request redirect scheme https code 307 if { path /3 }',
      'http-request redirect prefix / code 308 set-cookie A=b if { path /4 }',
      'http-request redirect location /y clear-cookie A= code 303',
    ],
    ours: {
      frontend: {
        http: {
          request: [
            {action: redirect({value: format('/x'), code: 301}), condition: condition('path = /1'), position},
            {action: redirect({to: 'prefix', value: format('http://p'), dropQuery: true, appendSlash: true}), condition: condition('path = /2'), position},
            {action: redirect({to: 'scheme', value: format('https'), code: 307}), condition: condition('path = /3'), position},
            {action: redirect({to: 'prefix', value: format('/'), code: 308, setCookie: 'A=b'}), condition: condition('path = /4'), position},
            {action: redirect({value: format('/y'), clearCookie: 'A=', code: 303}), condition: null, position},
          ],
          response: [],
          afterResponse: [],
        },
      },
    },
    requests: ['/1?q', '/2?q=1', '/3?q', '/4?q', '/5'].map((path) => get(path)),
  },
  {
    name: 'changes of requests',
    frontend: [
      'http-request set-query r=2',
      'http-request replace-path /a/(.*) /\\1/c',
      'http-request set-header X-New 1',
      'http-request add-header X-Old 2',
      'http-request replace-value X-List ^a(.)$ b\\1',
      'http-request del-header x-drop -m beg',
    ],
    ours: {
      frontend: request(
        {kind: 'set-query', value: format('r=2')},
        {kind: 'replace-path', regex: '/a/(.*)', value: format('/\\1/c')},
        {kind: 'set-header', name: 'X-New', value: format('1')},
        {kind: 'add-header', name: 'X-Old', value: format('2')},
        {kind: 'replace-value', name: 'X-List', regex: '^a(.)$', value: format('b\\1')},
        {kind: 'del-header', pattern: {name: 'x-drop', method: 'beg'}},
      ),
    },
    requests: [get('/a/b?q', 'X-Old: 1\r\nX-New: 0\r\nX-Dropped: 1\r\nX-List: a1\r\n'), get('/a/b')],
  },
  {
    name: 'set-uri, set-method',
    frontend: ['http-request set-uri /u?v=1', 'http-request set-method PUT'],
    ours: {frontend: request({kind: 'set-uri', value: format('/u?v=1')}, {kind: 'set-method', value: format('PUT')})},
    requests: [get()],
  },
  {
    name: 'changes of answers',
    backend: ['http-response set-status 418', 'http-response set-header X-New 1', 'http-response del-header x-up'],
    ours: {
      backend: response(
        {kind: 'set-status', status: 418, reason: null},
        {kind: 'set-header', name: 'X-New', value: format('1')},
        {kind: 'del-header', pattern: {name: 'x-up', method: 'str'}},
      ),
    },
    answer: 'HTTP/1.1 200 OK\r\nX-Up: 1\r\nContent-Length: 2\r\n\r\nok',
    requests: [get()],
  },
  {
    name: 'answers that are made at the edge',
    frontend: [
      'monitor-uri /mon',
      'http-request deny if { path /deny }',
      'http-request deny deny_status 429 hdr Retry-After 5 if { path /slow }',
      'http-request return status 200 content-type text/plain string hello if { path /ret }',
      'http-request return status 204 if { path /204 }',
      'http-request auth realm here if { path /auth }',
    ],
    ours: {
      frontend: {
        monitorUri: '/mon',
        http: {
          request: [
            {
              action: {kind: 'deny', reply: {status: 403, contentType: null, body: {kind: 'default'}, headers: []}},
              condition: condition('path = /deny'),
              position,
            },
            {
              action: {kind: 'deny', reply: {status: 429, contentType: null, body: {kind: 'default'}, headers: [{name: 'Retry-After', value: format('5')}]}},
              condition: condition('path = /slow'),
              position,
            },
            {
              action: {kind: 'return', reply: {status: 200, contentType: 'text/plain', body: {kind: 'text', text: 'hello'}, headers: []}},
              condition: condition('path = /ret'),
              position,
            },
            {
              action: {kind: 'return', reply: {status: 204, contentType: null, body: {kind: 'none'}, headers: []}},
              condition: condition('path = /204'),
              position,
            },
            {action: {kind: 'auth', realm: 'here'}, condition: condition('path = /auth'), position},
          ],
          response: [],
          afterResponse: [],
        },
      },
    },
    requests: [...['/mon', '/deny', '/ret', '/204', '/auth'].map((path) => get(path)), 'HEAD /deny HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'],
  },
  {
    name: 'forwardfor',
    frontend: ['option forwardfor'],
    ours: {frontend: {forwardFor: {header: 'X-Forwarded-For', except: null, ifNone: false}}},
    requests: [get('/', 'X-Forwarded-For: 1.2.3.4\r\n')],
  },
  {
    name: 'forwardfor if-none',
    frontend: ['option forwardfor if-none'],
    ours: {frontend: {forwardFor: {header: 'X-Forwarded-For', except: null, ifNone: true}}},
    requests: [get('/', 'X-Forwarded-For: 1.2.3.4\r\n'), get()],
  },
  {name: 'cookie insert', backend: ['cookie SRV insert'], ours: {backend: {cookie: cookie({})}}, requests: [get(), withCookie('c1'), withCookie('gone')]},
  {
    name: 'cookie insert indirect nocache',
    backend: ['cookie SRV insert indirect nocache httponly secure domain .h'],
    ours: {backend: {cookie: cookie({indirect: true, noCache: true, httpOnly: true, secure: true, domains: ['.h']})}},
    answer: text,
    requests: [get(), withCookie('c1'), get('/', 'Cookie: SRV=c1\r\n')],
  },
  {
    name: 'cookie insert, and the server sets it too',
    backend: ['cookie SRV insert indirect'],
    ours: {backend: {cookie: cookie({indirect: true})}},
    answer: setsCookie,
    requests: [get(), withCookie('c1')],
  },
  {
    name: 'cookie insert preserve',
    backend: ['cookie SRV insert indirect preserve'],
    ours: {backend: {cookie: cookie({indirect: true, preserve: true})}},
    answer: setsCookie,
    requests: [get(), withCookie('c1')],
  },
  {
    name: 'cookie insert postonly',
    backend: ['cookie SRV insert postonly'],
    ours: {backend: {cookie: cookie({postOnly: true})}},
    requests: [get(), 'POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'],
  },
  {
    name: 'cookie rewrite',
    backend: ['cookie SRV rewrite'],
    ours: {backend: {cookie: cookie({how: 'rewrite'})}},
    answer: setsCookie,
    requests: [get(), withCookie('c1')],
  },
  {
    name: 'cookie prefix',
    backend: ['cookie SRV prefix'],
    ours: {backend: {cookie: cookie({how: 'prefix'})}},
    answer: setsCookie,
    requests: [get(), withCookie('c1~own')],
  },
  {
    name: 'compression',
    backend: ['compression algo gzip', 'compression type text/plain'],
    ours: {backend: {compression: {algorithms: ['gzip'], types: ['text/plain'], minBytes: 0, offload: false}}},
    answer: text,
    requests: [get('/', 'Accept-Encoding: gzip\r\n'), get(), get('/', 'Accept-Encoding: gzip;q=0\r\n'), 'GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n'],
  },
];

for (const {name, frontend = [], backend = [], ours = {}, requests, answer = 'HTTP/1.1 200 OK\r\nX-Up: 1\r\nContent-Length: 2\r\n\r\nok'} of cases) {
  haproxyTest(`${name}: as HAProxy`, async (t) => {
    const seen: string[] = [];
    await using origin = await scriptedOrigin((head) => (head.startsWith('HEAD') ? `${answer.split('\r\n\r\n')[0] ?? ''}\r\n\r\n` : answer), seen);
    await using haproxy = await startHaproxy({frontend, backend, origin: origin.port});
    await using http = await openTestHttp({servers: [origin.port], ...ours});
    for (const bytes of requests) {
      seen.length = 0;
      const theirs = comparable(await rawExchange(haproxy.port, bytes));
      const theirsSeen = seen.map(comparable);
      seen.length = 0;
      const mine = comparable(await rawExchange(http.port, bytes));
      const isCompressed = theirs.includes('content-encoding: gzip');
      t.is(isCompressed ? withoutBody(mine) : mine, isCompressed ? withoutBody(theirs) : theirs, bytes);
      t.deepEqual(seen.map(comparable), theirsSeen, bytes);
    }
  });
}

function withoutBody(message: string): string {
  return message.split('\n\n')[0] ?? '';
}
