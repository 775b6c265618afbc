/** The same checks of the same servers by HAProxy and by us: same status, code and words. */
import test from 'ava';
import type {ConnectStep, Expectation, HealthCheck, HttpCheckRequest, HttpExchange, TcpCheckStep} from '../../../src/config/health.ts';
import {bareServer} from '../../../src/config/proxy-defaults.ts';
import type {Format} from '../../../src/config/sample.ts';
import {systemClock} from '../../../src/core/clock.ts';
import {createCheckRunner} from '../../../src/edge/checks/check-runner.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {until} from '../../helpers/until.ts';
import {startHaproxy} from '../pool/haproxy-reference.ts';
import {schedule} from '../pool/pool-fixture.ts';
import {type Ailment, brokenServers} from './broken-servers.ts';
import {checkSamples, tlsServices} from './check-services.ts';

const text = (value: string): Format => [{kind: 'text', text: value}];
const expectation = (kind: Expectation['kind'], method: Expectation['method'], value: string, more: Partial<Expectation> = {}): Expectation => ({
  negated: false,
  kind,
  method,
  value,
  name: null,
  comment: null,
  ...more,
});
const exchange = (expect: readonly Expectation[], more: Partial<HttpCheckRequest> = {}): HttpExchange => ({
  connect: null,
  first: [],
  before: [],
  request: {method: 'OPTIONS', uri: text('/'), version: 'HTTP/1.0', headers: [], body: null, ...more},
  expect,
});
const http = (expect: readonly Expectation[], more: Partial<HttpCheckRequest> = {}, disableOn404 = false): HealthCheck => ({
  kind: 'http',
  exchanges: [exchange(expect, more)],
  disableOn404,
});
const tcp = (...steps: readonly TcpCheckStep[]): HealthCheck => ({kind: 'tcp', steps});
const connect: ConnectStep = {
  kind: 'connect',
  address: null,
  port: null,
  usesDefaults: false,
  tls: false,
  sni: null,
  alpn: null,
  sendProxy: false,
  lingers: false,
  portExpression: null,
};
const send = (data: string): TcpCheckStep => ({kind: 'send', data: Buffer.from(data)});
const expect = (...args: Parameters<typeof expectation>): TcpCheckStep => ({kind: 'expect', expectation: expectation(...args)});

interface Case {
  readonly lines: readonly string[];
  readonly check: HealthCheck;
  readonly servers: readonly Ailment[];
  readonly tls?: boolean;
}

const httpAll: readonly Ailment[] = ['well', 'closed', 'silent', 'error500', 'missing404', 'garbage', 'hangs-up', 'resets', 'chunked'];

const cases: readonly Case[] = [
  {lines: [], check: {kind: 'connect'}, servers: ['well', 'closed', 'silent', 'hangs-up']},
  {lines: [], check: {kind: 'connect'}, tls: true, servers: ['well', 'closed', 'silent', 'hangs-up']},
  {lines: ['option httpchk'], check: http([]), servers: httpAll},
  {lines: ['option httpchk', 'http-check disable-on-404'], check: http([], {}, true), servers: ['well', 'missing404', 'error500']},
  {lines: ['option httpchk', 'http-check expect string hello'], check: http([expectation('string', 'sub', 'hello')]), servers: httpAll},
  {lines: ['option httpchk', 'http-check expect ! string oops'], check: http([expectation('string', 'sub', 'oops', {negated: true})]), servers: httpAll},
  {lines: ['option httpchk', 'http-check expect rstring ^hel+o'], check: http([expectation('string', 'reg', '^hel+o')]), servers: httpAll},
  {lines: ['option httpchk', 'http-check expect status 404,500-599'], check: http([expectation('status', 'str', '404,500-599')]), servers: httpAll},
  {lines: ['option httpchk', 'http-check expect ! status 200'], check: http([expectation('status', 'str', '200', {negated: true})]), servers: httpAll},
  {lines: ['option httpchk', 'http-check expect rstatus ^[25]'], check: http([expectation('status', 'reg', '^[25]')]), servers: httpAll},
  {
    lines: ['option httpchk', 'http-check expect hdr name x-role value main'],
    check: http([expectation('header', 'str', 'main', {name: 'X-Role'})]),
    servers: ['well', 'error500'],
  },
  {
    lines: ['option httpchk', 'http-check expect string hello', 'http-check expect status 201'],
    check: http([expectation('string', 'sub', 'hello'), expectation('status', 'str', '201')]),
    servers: ['well', 'error500'],
  },
  {
    lines: ['option httpchk', 'http-check send meth GET uri /x ver HTTP/1.1 hdr host example.com', 'http-check expect string hello'],
    check: http([expectation('string', 'sub', 'hello')], {
      method: 'GET',
      uri: text('/x'),
      version: 'HTTP/1.1',
      headers: [{name: 'host', value: text('example.com')}],
    }),
    servers: ['well', 'chunked', 'error500'],
  },
  {lines: ['mode tcp', 'option tcp-check'], check: tcp(), servers: ['banner', 'closed', 'silent']},
  {lines: ['mode tcp', 'option tcp-check', 'tcp-check connect'], check: tcp(connect), servers: ['banner', 'closed', 'silent']},
  {
    lines: ['mode tcp', 'option tcp-check', 'tcp-check expect string 220'],
    check: tcp(expect('string', 'sub', '220')),
    servers: ['banner', 'closed', 'hangs-up'],
  },
  {
    lines: ['mode tcp', 'option tcp-check', 'tcp-check connect', 'tcp-check send HI\\r\\n', 'tcp-check expect rstring ^5 comment five'],
    check: tcp(connect, send('HI\r\n'), expect('string', 'reg', '^5', {comment: 'five'})),
    servers: ['closed', 'garbage', 'hangs-up', 'resets'],
  },
  {
    lines: ['mode tcp', 'option tcp-check', 'tcp-check expect ! string 220'],
    check: tcp(expect('string', 'sub', '220', {negated: true})),
    servers: ['banner', 'closed'],
  },
  {
    lines: ['mode tcp', 'option tcp-check', 'tcp-check send-binary 0a', 'tcp-check expect binary 323230'],
    check: tcp(send('\n'), expect('binary', 'sub', '323230')),
    servers: ['banner', 'garbage'],
  },
  {
    lines: ['mode tcp', 'option tcp-check', 'tcp-check expect string 220', 'tcp-check expect string ready'],
    check: tcp(expect('string', 'sub', '220'), expect('string', 'sub', 'ready')),
    servers: ['banner'],
  },
];

const schedules = {...schedule, intervalMs: 400};

interface Row {
  readonly status: string;
  readonly code: string;
  readonly info: string;
}

function parseRows(csv: string): ReadonlyMap<string, Row> {
  const [head = '', ...lines] = csv.split('\n');
  const names = head.replace('# ', '').split(',');
  const rows = lines.map((line) => {
    const values = [...line.matchAll(/("(?:[^"]|"")*"|[^,]*)(?:,|$)/g)].map(([, value = '']) => value.replace(/^"|"$/g, ''));
    const value = (name: string): string => values[names.indexOf(name)] ?? '';
    return [`${value('pxname')}/${value('svname')}`, {status: value('check_status'), code: value('check_code'), info: value('last_chk')}] as const;
  });
  return new Map(rows);
}

test('checks find the same as HAProxy', async (t) => {
  await using servers = await brokenServers();
  await using directory = await temporaryDirectory();
  const backends = cases.map(({lines, servers: names, tls}, index) => {
    const ssl = tls === true ? ' check-ssl verify none' : '';
    const list = names.map((name) => `  server ${name} 127.0.0.1:${servers.ports[name]} check inter 400ms${ssl}`);
    return [`backend b${index}`, '  mode http', ...lines.map((line) => `  ${line}`), ...list].join('\n');
  });
  const defaults = '  timeout check 300ms\n';
  await using haproxy = await startHaproxy(directory.path, [defaults, ...backends, 'frontend f', `  bind unix@${directory.path}/f.sock`].join('\n'));
  const found = new Map<string, Row>();
  await until(
    async () => {
      // While a check runs the last result is shown with a star, and without its words.
      for (const [name, row] of parseRows(await haproxy.command('show stat'))) {
        if (!/^(?:\*.*|INI|UNK|)$/.test(row.status)) found.set(name, row);
      }
      return cases.every(({servers: names}, index) => names.every((name) => found.has(`b${index}/${name}`)));
    },
    {what: 'all checks of HAProxy', intervalMs: 20},
  );
  for (const [index, {check, servers: names, lines, tls = false}] of cases.entries()) {
    const runner = createCheckRunner({
      backend: {name: 'b', check, checkTimeoutMs: 300, connectTimeoutMs: 2000},
      services: tlsServices,
      samples: checkSamples,
      clock: systemClock,
    });
    for (const name of names) {
      const address = {host: '127.0.0.1', port: servers.ports[name]};
      const config = bareServer({name, target: {kind: 'address', ...address}, position: {file: 'test.cfg', line: 1, column: 1}});
      const {status, code, info} = await runner.run({config, schedule: {...schedules, tls}, address, isUp: true}, new AbortController().signal);
      const row = found.get(`b${index}/${name}`);
      // HAProxy adds the errno of whatever failed before it, now and then.
      const theirs = row === undefined ? undefined : {...row, info: row.info.replace(/^(SSL handshake failure) \(.*\)$/, '$1')};
      const ours: Row = {status, code: ['L7OK', 'L7OKC', 'L7STS'].includes(status) ? String(code) : '', info};
      t.deepEqual(ours, theirs, `${lines.join('; ')}: ${name}`);
    }
  }
});
