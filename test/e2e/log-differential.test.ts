/** Lines of what goes wrong early, through Debian's HAProxy and through our program: the same ones. */
import {existsSync} from 'node:fs';
import {connect} from 'node:net';
import {join} from 'node:path';
import anyTest, {type TestFn} from 'ava';
import {makeTestCertificate} from '../edge/tls/certificates.ts';
import {type ProgramPair, startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

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
backend away
  server s 127.0.0.1:1
backend nobody
  mode http
`;
const ports = ['PROXY', 'TLS', 'PROXY_FORMATTED', 'TLS_FORMATTED', 'PROXY_QUIET', 'TLS_QUIET', 'REFUSING', 'DEFAULT', 'WEB'] as const;

test.before(async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const {pemFile} = await makeTestCertificate(directory.path, {file: 'a.pem', names: ['a.test']});
  t.context.pair = scope.use(await startPair({configuration, ports, values: {PEM: pemFile}, directory: directory.path}));
  Object.assign(t.context, {owned: scope.move()});
});

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
