/** What health checks find, in the words of the log: Debian's HAProxy and our program ask the same servers, of protocols that are known and with words of one's own. */
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {type AddressInfo, createServer} from 'node:net';
import test from 'ava';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

interface Case {
  readonly lines: readonly string[];
  /** What a server says, one after the other, each but those of `greets` after something has come; hexadecimal. */
  readonly says: readonly string[];
  /** The first one comes unasked. */
  readonly greets?: true;
  /** It ends the connection then. */
  readonly ends?: true;
}

const hex = (text: string): string => Buffer.from(text, 'latin1').toString('hex');
const tcpCheck = (...lines: readonly string[]): readonly string[] => ['option tcp-check', ...lines];
const mysqlGreeting =
  '4a0000000a382e302e3139000a0000006f3c025e6249410d00ffffff0200ffc715000000000000000000007c182159106e2761144322200063616368696e675f736861325f70617373776f726400';
const mysqlRefusal = `1a000002ffe304${hex('Client is not supported')}`;
const smtpGreeting = hex('220 mail.test ready\r\n');

const cases: Readonly<Record<string, Case>> = {
  'redis well': {lines: ['option redis-check'], says: [hex('+PONG\r\n')]},
  'redis refuses': {lines: ['option redis-check'], says: [hex('-NOAUTH Authentication required.\r\n')], ends: true},
  'redis silent': {lines: ['option redis-check'], says: []},
  'postgres well': {lines: ['option pgsql-check user someone'], says: ['520000000800000000']},
  'postgres asks for a password': {lines: ['option pgsql-check user someone'], says: ['520000000c0000000500000000']},
  'postgres refuses': {lines: ['option pgsql-check user someone'], says: ['450000000b53464154414c00']},
  'postgres is another': {lines: ['option pgsql-check user someone'], says: [hex('HTTP/1.1 400 Bad Request\r\n')]},
  'mysql greets': {lines: ['option mysql-check'], says: [mysqlGreeting], greets: true},
  'mysql lets in': {lines: ['option mysql-check user someone'], says: [mysqlGreeting, '0700000200000002000000'], greets: true},
  'mysql lets an old one in': {lines: ['option mysql-check user someone pre-41'], says: [mysqlGreeting, '03000002000000'], greets: true},
  'mysql refuses': {lines: ['option mysql-check user someone'], says: [mysqlGreeting, mysqlRefusal], greets: true},
  'mysql refuses at once': {lines: ['option mysql-check'], says: [mysqlRefusal], greets: true},
  'mysql hangs up': {lines: ['option mysql-check'], says: ['4a00'], greets: true, ends: true},
  'ldap well': {lines: ['option ldap-check'], says: ['300c02010161070a010004000400']},
  'ldap with long lengths': {lines: ['option ldap-check'], says: ['3084000000100201016184000000070a010004000400']},
  'ldap refuses': {lines: ['option ldap-check'], says: ['300c02010161070a013104000400']},
  'ldap is another': {lines: ['option ldap-check'], says: [hex('HTTP/1.1 400 Bad Request\r\n')]},
  'ldap answers another thing': {lines: ['option ldap-check'], says: ['300c02010160070a010004000400']},
  'smtp well': {lines: ['option smtpchk'], says: [smtpGreeting, hex('250 mail.test\r\n'), hex('221 bye\r\n')], greets: true},
  'smtp with many lines': {
    lines: ['option smtpchk EHLO me.test'],
    says: [smtpGreeting, hex('250-mail.test\r\n250 SIZE\r\n'), hex('221 bye\r\n')],
    greets: true,
  },
  'smtp is another': {lines: ['option smtpchk'], says: [hex('SSH-2.0-OpenSSH_9.2\r\n')], greets: true},
  'smtp is busy': {lines: ['option smtpchk'], says: [hex('421 try again later\r\n')], greets: true},
  'smtp does not know us': {lines: ['option smtpchk'], says: [smtpGreeting, hex('512 no such host\r\n')], greets: true},
  'tls silent': {lines: ['option ssl-hello-chk'], says: []},
  'tls hangs up': {lines: ['option ssl-hello-chk'], says: [''], ends: true},
  'tls is another': {lines: ['option ssl-hello-chk'], says: [hex('HTTP/1.1 400 Bad Request\r\n')]},
  'tls alert': {lines: ['option ssl-hello-chk'], says: ['15030300020228']},
  'words for what passed': {
    lines: tcpCheck('tcp-check expect string ready ok-status L4OK on-success "it says %[res.payload(0,3)]" comment mine'),
    says: [hex('220 ready\r\n')],
    greets: true,
  },
  'a number for what passed': {lines: tcpCheck('tcp-check expect string ready status-code res.payload(0,3)'), says: [hex('220 ready\r\n')], greets: true},
  'words for what failed': {
    lines: tcpCheck(
      'tcp-check expect ! string ready error-status L7STS status-code res.payload(0,3) on-error "it says %[res.payload(4,0),cut_crlf]" comment mine',
    ),
    says: [hex('421 not ready\r\n')],
    greets: true,
  },
  'words for what is late': {lines: tcpCheck('tcp-check expect string ready tout-status L6TOUT comment mine'), says: [hex('220 wait\r\n')], greets: true},
  'words for nothing': {lines: tcpCheck('tcp-check expect string ready error-status L4CON on-error never comment mine'), says: [''], greets: true, ends: true},
  'enough for what is not wanted': {
    lines: tcpCheck('tcp-check expect min-recv 5 ! rstring ^error', 'tcp-check expect string valid'),
    says: [hex('valid')],
    greets: true,
  },
  'enough for what is wanted': {lines: tcpCheck('tcp-check expect min-recv 5 rstring ^ready'), says: [hex('error')], greets: true},
  'not enough': {lines: tcpCheck('tcp-check expect min-recv 6 ! rstring ^error'), says: [hex('valid')], greets: true},
  'words for a good status': {
    lines: ['mode http', 'option httpchk', 'http-check expect status 200 ok-status L6OK on-success "fine, %[status]"'],
    says: [hex('HTTP/1.0 200 OK\r\n\r\n')],
    ends: true,
  },
  'words for a bad status': {
    lines: ['mode http', 'option httpchk', 'http-check expect status 200 error-status L7RSP on-error "bad: %[res.hdr(x-why)]" comment mine'],
    says: [hex('HTTP/1.0 503 Busy\r\nX-Why: full\r\n\r\n')],
    ends: true,
  },
  'a comment for a bad status': {
    lines: ['mode http', 'option httpchk', 'http-check expect status 200 comment mine'],
    says: [hex('HTTP/1.0 503 Busy\r\n\r\n')],
    ends: true,
  },
  'another number for a bad status': {
    lines: ['mode http', 'option httpchk', 'http-check expect status 200 status-code res.hdr(x-code)'],
    says: [hex('HTTP/1.0 503 Busy\r\nX-Code: 77\r\n\r\n')],
    ends: true,
  },
  'words for a body': {
    lines: ['mode http', 'option httpchk', 'http-check expect string ready error-status L7STS comment mine'],
    says: [hex('HTTP/1.0 200 OK\r\n\r\nbusy')],
    ends: true,
  },
  'words for a late answer': {lines: ['mode http', 'option httpchk', 'http-check expect status 200 tout-status L4TOUT'], says: []},
};

/** The port at which one says what the case wants. */
async function startServer(scope: AsyncDisposableStack, {says, greets, ends}: Case): Promise<number> {
  const server = createServer((socket) => {
    const left = [...says];
    const say = (): void => {
      const next = left.shift();
      if (next !== undefined && next !== '') socket.write(Buffer.from(next, 'hex'));
      if (ends === true && left.length === 0) socket.end();
    };
    socket.on('error', () => undefined);
    socket.on('data', say);
    if (greets === true) say();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.defer(() => void server.close());
  return (server.address() as AddressInfo).port;
}

/** Without what is never the same. */
function wordsOf(twin: Twin, backend: string): string {
  const line = twin.lines.find((text) => text.includes(`Health check for server ${backend}/s `)) ?? '';
  return line.replace(/^.*Health check/, 'Health check').replace(/check duration: \d+ms/, 'check duration');
}

pairTest('health checks of known protocols, and with words of their own, find the same as HAProxy', async (t) => {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const names = Object.keys(cases);
  const backends: string[] = [];
  for (const [index, value] of Object.values(cases).entries()) {
    const port = await startServer(scope, value);
    backends.push(`backend b${index}`, ...value.lines.map((line) => `  ${line}`), `  server s 127.0.0.1:${port} check inter 2s rise 1 fall 1`);
  }
  const configuration = `
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
  timeout check 700ms
  option log-health-checks
  log 127.0.0.1:\${LOG} local0
frontend f
  bind 127.0.0.1:\${FRONT}
${backends.join('\n')}
`;
  const pair = scope.use(await startPair({configuration, ports: ['FRONT'], values: {}, directory: directory.path}));
  const all = (twin: Twin): readonly string[] => names.map((_, index) => wordsOf(twin, `b${index}`));
  await until(() => [...all(pair.haproxy), ...all(pair.picogate)].every((line) => line !== ''), {what: 'all checks', timeoutMs: 20_000});
  const expected = all(pair.haproxy);
  t.is(
    expected[0],
    'Health check for server b0/s succeeded, reason: Layer7 check passed, code: 0, info: "Redis server is ok", check duration, status: 1/1 UP.',
  );
  for (const [index, line] of all(pair.picogate).entries()) t.is(line, expected[index] ?? '', names[index] ?? '');
});
