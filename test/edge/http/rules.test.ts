import {writeFile} from 'node:fs/promises';
import test from 'ava';
import type {FrontendConfig} from '../../../src/config/proxy-value.ts';
import type {HttpRequestAction, HttpResponseAction, ReplyAction, Rule} from '../../../src/config/rules.ts';
import type {Condition} from '../../../src/config/sample.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {until} from '../../helpers/until.ts';
import {condition, expression, format} from './evaluator.ts';
import {openTestHttp, position, type TestHttpSettings} from './http-fixture.ts';
import {httpOrigin, scriptedOrigin} from './origin.ts';
import {rawClient, rawExchange} from './raw-client.ts';

type Listed<Action> = Action | readonly [Action, Condition];

function rules<Action extends object>(...list: readonly Listed<Action>[]): readonly Rule<Action>[] {
  return list.map((one) => (0 in one ? {action: one[0], condition: one[1], position} : {action: one, condition: null, position}));
}

const request = (...list: readonly Listed<HttpRequestAction>[]) => ({request: rules<HttpRequestAction>(...list), response: [], afterResponse: []});
const response = (...list: readonly Listed<HttpResponseAction>[]) => ({request: [], response: rules<HttpResponseAction>(...list), afterResponse: []});
const reply = (status: number, more: Partial<ReplyAction> = {}): ReplyAction => ({status, contentType: null, body: {kind: 'default'}, headers: [], ...more});

/** Sends one request, and returns what the server saw of it and what the client got. */
async function passed(
  settings: Omit<TestHttpSettings, 'servers'>,
  head = 'GET /a/b?q=1 HTTP/1.1\r\nHost: h\r\n',
  answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
) {
  const seen: string[] = [];
  await using origin = await scriptedOrigin(answer, seen);
  await using http = await openTestHttp({...settings, servers: [origin.port]});
  const got = await rawExchange(http.port, `${head}Connection: close\r\n\r\n`);
  return {seen: seen[0] ?? '', got, record: http.records[0]};
}

test('fields of requests are set, added, deleted and replaced', async (t) => {
  const {seen} = await passed(
    {
      frontend: {
        http: request(
          {kind: 'set-header', name: 'X-One', value: format('first')},
          {kind: 'set-header', name: 'x-one', value: format('1 from %[src]')},
          {kind: 'add-header', name: 'X-Two', value: format('a')},
          {kind: 'add-header', name: 'X-Two', value: format('b')},
          {kind: 'del-header', pattern: {name: 'x-drop', method: 'beg'}},
          {kind: 'replace-header', name: 'X-Mail', regex: '(.*)@(.*)', value: format('\\2 at \\1')},
          {kind: 'replace-value', name: 'X-List', regex: '^a(.)$', value: format('<\\1>')},
          [{kind: 'set-header', name: 'X-Never', value: format('x')}, condition('path = /other')],
          {kind: 'set-header', name: 'X-Split', value: format('%[hdr(x-lines)]')},
        ),
      },
    },
    'GET / HTTP/1.1\r\nHost: h\r\nX-Drop-This: 1\r\nX-Dropped: 2\r\nX-Mail: me@here\r\nX-List: a1, b2, a3\r\n',
  );
  t.is(seen, 'GET / HTTP/1.1\r\nhost: h\r\nx-mail: here at me\r\nx-list: <1>, b2, <3>\r\nx-one: 1 from 127.0.0.1\r\nx-two: a\r\nx-two: b\r\nx-split: \r\n\r\n');
});

const lines: readonly (readonly [HttpRequestAction, string])[] = [
  [{kind: 'set-method', value: format('POST')}, 'POST /a/b?q=1'],
  [{kind: 'set-method', value: format('no method')}, 'GET /a/b?q=1'],
  [{kind: 'set-path', value: format('/new%[path]')}, 'GET /new/a/b?q=1'],
  [{kind: 'set-pathq', value: format('/new?r=2')}, 'GET /new?r=2'],
  [{kind: 'set-query', value: format('r=2')}, 'GET /a/b?r=2'],
  [{kind: 'set-query', value: format('')}, 'GET /a/b'],
  [{kind: 'set-uri', value: format('/x')}, 'GET /x'],
  [{kind: 'set-path', value: format('/with space\r\nX: y')}, 'GET /with%20space%0D%0AX:%20y?q=1'],
  [{kind: 'replace-path', regex: '/a/(.*)', value: format('/\\1')}, 'GET /b?q=1'],
  [{kind: 'replace-path', regex: 'nothing', value: format('/x')}, 'GET /a/b?q=1'],
  [{kind: 'replace-pathq', regex: '([^?]*)\\?(.*)', value: format('\\1/\\2')}, 'GET /a/b/q=1'],
  [{kind: 'replace-uri', regex: '^/a', value: format('/c')}, 'GET /c'],
];

for (const [action, line] of lines) {
  test(`${action.kind} makes the request line ${line}`, async (t) => {
    const {seen, record} = await passed({frontend: {http: request(action)}});
    t.is(seen.split(' HTTP/')[0], line);
    t.like(record, {request: {method: 'GET', uri: '/a/b?q=1', version: '1.1'}});
  });
}

const redirects: readonly (readonly [Partial<Extract<HttpRequestAction, {kind: 'redirect'}>>, RegExp])[] = [
  [{to: 'location', value: format('/x%[path]')}, /^HTTP\/1\.1 302 Found\r\nlocation: \/x\/a\/b\r\ncache-control: no-cache\r\n/],
  [{to: 'prefix', value: format('http://other'), code: 301}, /^HTTP\/1\.1 301 Moved Permanently\r\nlocation: http:\/\/other\/a\/b\?q=1\r\n/],
  [{to: 'prefix', value: format('/'), code: 308}, /^HTTP\/1\.1 308 Permanent Redirect\r\nlocation: \/a\/b\?q=1\r\n/],
  [{to: 'prefix', value: format('http://other'), dropQuery: true, appendSlash: true}, /location: http:\/\/other\/a\/b\/\r\n/],
  [{to: 'scheme', value: format('https'), code: 307}, /^HTTP\/1\.1 307 Temporary Redirect\r\nlocation: https:\/\/h\/a\/b\?q=1\r\n/],
  [{to: 'location', value: format('/'), setCookie: 'SEEN=1'}, /set-cookie: SEEN=1; path=\/;\r\n/],
  [{to: 'location', value: format('/'), clearCookie: 'SEEN'}, /set-cookie: SEEN; path=\/; Max-Age=0;\r\n/],
  [{to: 'location', value: format('%[hdr(x)]'), ignoreEmpty: true}, /^HTTP\/1\.1 200 OK/],
];

for (const [index, [action, expected]] of redirects.entries()) {
  test(`redirect ${index + 1}: ${expected.source.slice(0, 60)}`, async (t) => {
    const full = {
      kind: 'redirect',
      to: 'location',
      value: [],
      code: 302,
      dropQuery: false,
      appendSlash: false,
      ignoreEmpty: false,
      setCookie: null,
      clearCookie: null,
      ...action,
    } as const;
    const {got, seen} = await passed({frontend: {http: request(full)}});
    t.regex(got, expected);
    t.is(seen === '', action.ignoreEmpty !== true);
  });
}

test('deny, return and auth answer here, each in its way', async (t) => {
  const http = request(
    [{kind: 'deny', reply: reply(403)}, condition('path = /deny')],
    [{kind: 'deny', reply: reply(429, {headers: [{name: 'Retry-After', value: format('7')}]})}, condition('path = /slow')],
    [{kind: 'return', reply: reply(200, {contentType: 'text/plain', body: {kind: 'format', format: format('you are %[src]')}})}, condition('path = /return')],
    [{kind: 'auth', realm: 'Se"cret'}, condition('path = /auth')],
  );
  await using front = await openTestHttp({servers: [], frontend: {http}});
  const ask = async (path: string) => rawExchange(front.port, `GET ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
  t.regex(await ask('/deny'), /^HTTP\/1\.1 403 Forbidden\r\n[\s\S]*Request forbidden by administrative rules\.\n<\/body><\/html>\n$/);
  t.regex(await ask('/slow'), /^HTTP\/1\.1 429 Too Many Requests\r\n[\s\S]*retry-after: 7\r\n/);
  t.regex(await ask('/return'), /^HTTP\/1\.1 200 OK\r\n[\s\S]*content-type: text\/plain\r\n[\s\S]*\r\n\r\nyou are 127\.0\.0\.1$/);
  t.regex(await ask('/auth'), /^HTTP\/1\.1 401 Unauthorized\r\n[\s\S]*www-authenticate: Basic realm="Se\\"cret"\r\n/);
  t.regex(await ask('/else'), /^HTTP\/1\.1 503 Service Unavailable\r\n/);
  t.deepEqual(
    front.records.map(({termination}) => termination),
    ['PR--', 'PR--', 'LR--', 'LR--', 'SC--'],
  );
});

test('a body that nobody reads does not keep the connection of a refused client', async (t) => {
  await using front = await openTestHttp({servers: [], frontend: {http: request({kind: 'deny', reply: reply(403)})}});
  const got = await rawExchange(front.port, `POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(50_000)}`);
  t.regex(got, /^HTTP\/1\.1 403 Forbidden\r\n[\s\S]*connection: close\r\n/);
});

test('tarpit answers late, reject and silent-drop not at all', async (t) => {
  const http = request(
    [{kind: 'tarpit', reply: reply(500)}, condition('path = /tar')],
    [{kind: 'reject'}, condition('path = /reject')],
    [{kind: 'silent-drop'}, condition('path = /drop')],
  );
  await using front = await openTestHttp({servers: [], frontend: {http, tarpitTimeoutMs: 300}});
  const startedMs = performance.now();
  t.regex(await rawExchange(front.port, 'GET /tar HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 500 /);
  t.true(performance.now() - startedMs >= 290);
  t.is(await rawExchange(front.port, 'GET /reject HTTP/1.1\r\nHost: h\r\n\r\n'), '');
  using dropped = await rawClient(front.port, 'GET /drop HTTP/1.1\r\nHost: h\r\n\r\n');
  await until(() => front.records.length === 3);
  t.is(dropped.text(), '');
  t.deepEqual(
    front.records.map(({termination, status}) => [termination, status]),
    [
      ['PT--', 500],
      ['PR--', 0],
      ['PR--', 0],
    ],
  );
});

test('rules run in HAProxy’s order: frontend, then backend, and answers the other way round', async (t) => {
  const add = (name: string): HttpRequestAction & HttpResponseAction => ({kind: 'add-header', name: 'x-seen', value: format(name)});
  const both = (name: string) => ({
    request: rules<HttpRequestAction>(add(name)),
    response: rules<HttpResponseAction>(add(name)),
    afterResponse: rules<HttpResponseAction>(add(`${name} after`)),
  });
  const {seen, got} = await passed({frontend: {http: both('front')}, backend: {http: both('back')}});
  t.deepEqual(seen.match(/x-seen: .*(?=\r)/g), ['x-seen: front', 'x-seen: back']);
  t.deepEqual(got.match(/x-seen: .*(?=\r)/g), ['x-seen: back', 'x-seen: front', 'x-seen: back after', 'x-seen: front after']);
});

test('allow ends the rules of its proxy only', async (t) => {
  const {got} = await passed({
    frontend: {http: request({kind: 'allow'}, {kind: 'deny', reply: reply(403)})},
    backend: {http: request([{kind: 'deny', reply: reply(404)}, condition('path beg /a')])},
  });
  t.regex(got, /^HTTP\/1\.1 404 /);
});

test('variables and captures pass from request to response', async (t) => {
  const frontend: Partial<FrontendConfig> = {
    captures: [
      {header: 'Host', length: 3, of: 'request'},
      {header: null, length: 4, of: 'request'},
    ],
    http: {
      request: rules<HttpRequestAction>(
        {kind: 'set-var', name: 'txn.path', conditions: [], value: {kind: 'expression', expression: expression('path')}},
        {kind: 'set-var', name: 'req.gone', conditions: [], value: {kind: 'format', format: format('x')}},
        {kind: 'capture', expression: expression('url'), id: 1, length: 4},
      ),
      response: rules<HttpResponseAction>(
        {kind: 'set-header', name: 'x-path', value: format('%[var(txn.path)]%[var(req.gone)]')},
        {kind: 'set-status', status: 418, reason: 'Teapot'},
        [{kind: 'del-header', pattern: {name: 'server', method: 'str'}}, condition('status = 418')],
      ),
      afterResponse: [],
    },
  };
  const {got} = await passed({frontend}, undefined, 'HTTP/1.1 200 OK\r\nServer: secret\r\nContent-Length: 2\r\n\r\nok');
  t.regex(got, /^HTTP\/1\.1 418 Teapot\r\nx-path: \/a\/b\r\n/);
  t.false(got.includes('secret'));
});

test('an answer can be refused, and the server’s is not seen', async (t) => {
  const {got, record} = await passed(
    {backend: {http: response([{kind: 'deny', reply: reply(502)}, condition('res.hdr(x-secret) found')])}},
    undefined,
    'HTTP/1.1 200 OK\r\nX-Secret: 1\r\nContent-Length: 6\r\n\r\nsecret',
  );
  t.regex(got, /^HTTP\/1\.1 502 Bad Gateway\r\n/);
  t.false(got.includes('secret'));
  t.like(record, {termination: 'PH--', status: 502});
});

test('wait-for-body lets rules see the body, and the server gets all of it', async (t) => {
  await using origin = await httpOrigin((incoming, answer) => {
    let body = '';
    incoming.on('data', (data: Buffer) => {
      body += data.toString();
    });
    incoming.on('end', () => answer.end(`got ${body}`));
  });
  const http = request({kind: 'wait-for-body', timeMs: 500, atLeastBytes: 0}, [{kind: 'deny', reply: reply(403)}, condition('body beg bad')]);
  await using front = await openTestHttp({servers: [origin.port], frontend: {http}});
  const post = (body: string) => `POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  t.regex(await rawExchange(front.port, post('good')), /got good/);
  t.regex(await rawExchange(front.port, post('bad')), /^HTTP\/1\.1 403 /);
  const long = 'x'.repeat(60_000);
  t.true((await rawExchange(front.port, post(long))).includes(`got ${long}`));
  using expecting = await rawClient(front.port, 'POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n');
  await expecting.received('100 Continue\r\n\r\n');
  expecting.socket.write('good');
  await expecting.received('got good');
  t.regex(await rawExchange(front.port, 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nhal'), /^HTTP\/1\.1 408 /);
});

test('monitor-uri answers before every rule, and fails as it is told', async (t) => {
  await using front = await openTestHttp({
    servers: [],
    frontend: {monitorUri: '/alive', monitorFail: [condition('hdr(x-fail) found')], http: request({kind: 'deny', reply: reply(403)})},
  });
  t.regex(await rawExchange(front.port, 'GET /alive HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 OK\r\n[\s\S]*Service ready\./);
  t.regex(await rawExchange(front.port, 'GET /alive HTTP/1.0\r\nX-Fail: 1\r\n\r\n'), /^HTTP\/1\.1 503 /);
  t.is(front.assigned.length, 0);
});

test('error pages come from files and places', async (t) => {
  await using directory = await temporaryDirectory();
  const path = `${directory.path}/503.http`;
  await writeFile(path, 'HTTP/1.0 503 Gone fishing\nCache-Control: no-store\nContent-Type: text/plain\n\nfishing\n');
  await using front = await openTestHttp({
    servers: [],
    frontend: {errorLocations: {403: {code: 303, url: 'http://elsewhere/'}}, http: request([{kind: 'deny', reply: reply(403)}, condition('path = /no')])},
    backend: {errorFiles: {503: path}},
  });
  t.is(
    await rawExchange(front.port, 'GET / HTTP/1.0\r\n\r\n'),
    'HTTP/1.1 503 Gone fishing\r\ncache-control: no-store\r\ncontent-type: text/plain\r\ncontent-length: 8\r\nconnection: close\r\n\r\nfishing\n',
  );
  t.regex(
    await rawExchange(front.port, 'GET /no HTTP/1.0\r\n\r\n'),
    /^HTTP\/1\.1 303 See Other\r\ncache-control: no-cache\r\nlocation: http:\/\/elsewhere\/\r\n/,
  );
});

test('http-error makes pages for requests, those too that were not understood', async (t) => {
  const errorReplies = {
    400: {status: 400, contentType: 'text/plain', body: {kind: 'text', text: 'what?'}, headers: []},
    503: {
      status: 503,
      contentType: 'text/plain',
      body: {kind: 'format', format: format('%[url] sleeps')},
      headers: [{name: 'X-From', value: format('%[src]')}],
    },
  } as const;
  await using front = await openTestHttp({servers: [], frontend: {errorReplies}});
  t.regex(await rawExchange(front.port, 'GET /a HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 503 [\s\S]*x-from: 127\.0\.0\.1\r\n[\s\S]*\r\n\r\n\/a sleeps$/);
  t.regex(await rawExchange(front.port, 'GET  /a\r\n\r\n'), /^HTTP\/1\.1 400 [\s\S]*\r\n\r\nwhat\?$/);
});

test('the server learns who the client is, unless it is excepted or known', async (t) => {
  const forwardFor = {header: 'X-Forwarded-For', except: null, ifNone: false};
  const both = await passed(
    {frontend: {forwardFor, originalTo: {...forwardFor, header: 'X-Original-To'}, uniqueId: {format: format('id-%[src]'), header: 'X-Id'}}},
    'GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.0.0.1\r\n',
  );
  t.is(
    both.seen,
    'GET / HTTP/1.1\r\nhost: h\r\nx-forwarded-for: 10.0.0.1\r\nx-id: id-127.0.0.1\r\nx-forwarded-for: 127.0.0.1\r\nx-original-to: 127.0.0.1\r\n\r\n',
  );
  const none = await passed({frontend: {forwardFor: {...forwardFor, except: '127.0.0.0/8'}}});
  t.false(none.seen.includes('x-forwarded-for'));
  const known = await passed({backend: {forwardFor: {...forwardFor, ifNone: true}}}, 'GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.0.0.1\r\n');
  t.is(known.seen.match(/x-forwarded-for/g)?.length, 1);
});
