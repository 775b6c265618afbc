/** Lines of what goes wrong early, through Debian's HAProxy and through our program: the same ones. */
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {connect, createServer} from 'node:net';
import {join} from 'node:path';
import anyTest, {type TestFn} from 'ava';
import {makeTestCertificate} from '../edge/tls/certificates.ts';
import {type ProgramPair, startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve} from './operator-servers.ts';

const test = anyTest as TestFn<{pair: ProgramPair; readonly owned: AsyncDisposableStack}>;
/** One after the other: the lines of each are told from those of the others by when they come. */
const pairTest = existsSync('/usr/sbin/haproxy') ? test.serial : test.skip;

const errorFormat = 'E %ci %[fc_err] "%[fc_err_str]" %tsc %ST %b/%s %Tw/%Tc %ft %lc %rc %bc';
const configuration = `
defaults
  timeout client 700ms
  timeout server 5s
  timeout connect 5s
  timeout http-request 300ms
  log 127.0.0.1:\${LOG} format short local0
  default_backend away
frontend legacy
  option tcplog
  bind 127.0.0.1:\${PROXY} accept-proxy name proxy
  bind 127.0.0.1:\${TLS} ssl crt \${PEM}
  bind unix@\${DIR}/legacy.sock accept-proxy
frontend formatted
  option log-separate-errors
  bind 127.0.0.1:\${PROXY_FORMATTED} accept-proxy
  bind 127.0.0.1:\${TLS_FORMATTED} ssl crt \${PEM}
  error-log-format '${errorFormat}'
frontend quiet
  option tcplog
  option dontlognull
  bind 127.0.0.1:\${PROXY_QUIET} accept-proxy
  bind 127.0.0.1:\${TLS_QUIET} ssl crt \${PEM}
frontend refusing
  option tcplog
  bind 127.0.0.1:\${REFUSING}
  tcp-request session reject
frontend default
  bind 127.0.0.1:\${DEFAULT} accept-proxy
frontend web
  mode http
  option httplog
  bind 127.0.0.1:\${WEB}
  error-log-format 'E %ci %[fc_err] %tsc %ST %b/%s %r'
  default_backend nobody
frontend asap-tcp
  option tcplog
  option logasap
  bind 127.0.0.1:\${ASAP_TCP}
  default_backend origin-tcp
frontend asap
  mode http
  option httplog
  option logasap
  bind 127.0.0.1:\${ASAP}
  http-request return status 200 if { path /here }
  use_backend nobody if { path /nobody }
  default_backend origin
frontend asap-format
  mode http
  option logasap
  log-format '%f %ST B%B Ta%Ta Tt%Tt Tu%Tu Td%Td U%U Tr%Tr Tq%Tq %tsc %{+Q}B'
  bind 127.0.0.1:\${ASAP_FORMAT}
  default_backend origin
frontend asap-normal
  mode http
  option httplog
  option logasap
  option dontlog-normal
  bind 127.0.0.1:\${ASAP_NORMAL}
  default_backend origin
backend origin-tcp
  server s 127.0.0.1:\${ORIGIN}
backend origin
  mode http
  server s 127.0.0.1:\${ORIGIN}
backend away
  server s 127.0.0.1:1
backend nobody
  mode http
`;
const ports = [
  'PROXY',
  'TLS',
  'PROXY_FORMATTED',
  'TLS_FORMATTED',
  'PROXY_QUIET',
  'TLS_QUIET',
  'REFUSING',
  'DEFAULT',
  'WEB',
  'ASAP_TCP',
  'ASAP',
  'ASAP_FORMAT',
  'ASAP_NORMAL',
] as const;

test.before(async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const {pemFile} = await makeTestCertificate(directory.path, {file: 'a.pem', names: ['a.test']});
  t.context.pair = scope.use(await startPair({configuration, ports, values: {PEM: pemFile, ORIGIN: await halfAnswering(scope)}, directory: directory.path}));
  Object.assign(t.context, {owned: scope.move()});
});

/** Answers with a head that announces ten bytes and with five of them, and hangs up when it is asked for `/cut`. */
async function halfAnswering(scope: AsyncDisposableStack): Promise<string> {
  return serve(scope, createServer(), (socket) => {
    socket.on('data', (data: Buffer) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345');
      if (data.includes('/cut')) socket.end();
    });
  });
}

test.after.always((t) => t.context.owned.disposeAsync());

/** Sends it, and leaves, or waits until it is left. */
async function talk(to: {port: number; host: string} | {path: string}, text: string, waits: boolean): Promise<void> {
  const socket = connect(to);
  socket.on('error', () => {
    // It is refused; 'close' follows.
  });
  const closed = new Promise((resolve) => void socket.once('close', resolve));
  socket.resume();
  if (waits) socket.write(Buffer.from(text, 'latin1'));
  else socket.end(Buffer.from(text, 'latin1'));
  await closed;
}

/** What differs from run to run. */
function masked(line: string, directory: string): string {
  return line
    .replaceAll(directory, 'DIR')
    .replace(/127\.0\.0\.1:\d+/, '127.0.0.1:PORT')
    .replace(/\[\d+\/\w+\/\d+:[\d:.]+\]/, '[DATE]');
}

async function linesOf(twin: Twin, {steps, silent = 0}: Scenario): Promise<readonly string[]> {
  const before = twin.lines.length;
  for (const [at, step] of steps.entries()) {
    const [bind, text, waits] = step;
    await talk(bind.startsWith('/') ? {path: join(twin.directory, bind)} : {port: twin.port(bind), host: '127.0.0.1'}, text, waits === 'waits');
    if (at >= silent) await until(() => twin.lines.length > before + at - silent, {what: `${twin.name}: a line about ${JSON.stringify(step)}`});
  }
  return twin.lines.slice(before).map((line) => masked(line, twin.directory));
}

interface Scenario {
  readonly name: string;
  /** Where the client goes, what it sends, and whether it stays. */
  readonly steps: readonly (readonly [bind: string, text: string, waits?: 'waits'])[];
  /** So many of the steps, the first ones, leave no line. */
  readonly silent?: number;
}

const scan = 'GET / HTTP/1.0\r\n\r\n';

function failures(proxy: string, tls: string): Scenario['steps'] {
  return [
    [proxy, ''],
    [proxy, 'PROX'],
    [proxy, scan, 'waits'],
    [proxy, 'PROXY TCP4 bad\r\n', 'waits'],
    [proxy, '', 'waits'],
    [tls, ''],
    [tls, '\x16\x03\x01'],
    [tls, scan, 'waits'],
    [tls, '', 'waits'],
  ];
}

const scenarios: readonly Scenario[] = [
  {name: 'connections whose header or handshake fails', steps: [...failures('PROXY', 'TLS'), ['/legacy.sock', scan, 'waits']]},
  {name: 'the same with error-log-format and option log-separate-errors', steps: failures('PROXY_FORMATTED', 'TLS_FORMATTED')},
  {
    name: 'with option dontlognull only those that said something',
    silent: 7,
    steps: [
      ['PROXY_QUIET', ''],
      ['PROXY_QUIET', '', 'waits'],
      ['TLS_QUIET', ''],
      ['TLS_QUIET', '\x16\x03\x01'],
      ['TLS_QUIET', '', 'waits'],
      ['REFUSING', 'x', 'waits'],
      ['DEFAULT', scan, 'waits'],
      ['PROXY_QUIET', 'PROX'],
    ],
  },
  {
    name: 'requests that cannot be read have error-log-format, those that fail have not',
    steps: [
      ['WEB', '\x00\x01\r\n\r\n', 'waits'],
      ['WEB', 'GE', 'waits'],
      ['WEB', '', 'waits'],
    ],
  },
];

for (const scenario of scenarios) {
  pairTest(`log lines are those of HAProxy: ${scenario.name}`, async (t) => {
    t.timeout(60_000);
    const {haproxy, picogate} = t.context.pair;
    const theirs = await linesOf(haproxy, scenario);
    t.deepEqual(await linesOf(picogate, scenario), theirs);
    t.is(theirs.length, scenario.steps.length - (scenario.silent ?? 0));
  });
}

/** With `option logasap` there is a line although the connection goes on, and no other when it is over. */
async function earlyLine(twin: Twin, bind: string, text: string): Promise<string> {
  const before = twin.lines.length;
  const socket = connect(twin.port(bind), '127.0.0.1');
  await once(socket, 'connect');
  socket.write(text);
  await until(() => twin.lines.length > before, {what: `${twin.name}: a line about what goes on`});
  const closed = once(socket, 'close');
  socket.destroy();
  await closed;
  return masked(twin.lines[before] ?? '', twin.directory)
    .replace(/ (?:-?\d+\/){2,4}\+-?\d+ /, (times) => times.replaceAll(/(?<!-)\d+/g, 'N'))
    .replaceAll(/\+\d+/g, '+N')
    .replaceAll(/\b(T[qrd])\d+/g, '$1N')
    .replace(/ U\d+ /, ' UN ')
    .replace(/ \d+\/\d+\/\d+\/\d+\/0 /, ' N/N/N/N/0 ');
}

pairTest('log lines are those of HAProxy: option logasap', async (t) => {
  const {haproxy, picogate} = t.context.pair;
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
  for (const [bind, text] of [
    ['ASAP_TCP', ''],
    ['ASAP', get('/a')],
    ['ASAP', get('/here')],
    ['ASAP', get('/nobody')],
    ['ASAP', '\0\r\n\r\n'],
    ['ASAP_FORMAT', get('/a')],
  ] as const) {
    const theirs = await earlyLine(haproxy, bind, text);
    t.true(theirs.includes('+'), theirs);
    t.is(await earlyLine(picogate, bind, text), theirs);
  }
  // What is normal so far has no line; when it goes wrong later it has one.
  const broken: Scenario = {name: '', steps: [['ASAP_NORMAL', get('/cut'), 'waits']]};
  for (const twin of [haproxy, picogate]) t.regex((await linesOf(twin, broken)).join(), /^<6>\S+ \[DATE\] asap-normal origin\/s \S+ 200 \+\d+ - - SD--/);
});
