/** `tcp-response content` rules in mode tcp: what clients get, what is logged, counted and stored, by Debian's HAProxy and by our program. */
import {existsSync} from 'node:fs';
import {connect, createServer, type Socket} from 'node:net';
import {join} from 'node:path';
import test from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {freePort} from '../helpers/gateway.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve} from './operator-servers.ts';
import {parseStat} from './stat-table.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const delay = 'tcp-response inspect-delay 2s';

/** The rules of each listener. */
const listeners: Readonly<Record<string, readonly string[]>> = {
  CLOSES: ['tcp-response content close'],
  CLOSES_AT: [delay, 'tcp-response content close if { res.len ge 8 }'],
  CLOSES_IN_TIME: ['tcp-response inspect-delay 150ms', 'tcp-response content close if WAIT_END'],
  CLOSES_EMPTY: ['tcp-response content close if { res.len eq 0 }'],
  REJECTS: ['tcp-response content reject'],
  REJECTS_AT: [delay, 'tcp-response content reject if { res.len ge 8 }'],
  REJECTS_IN_TIME: ['tcp-response inspect-delay 150ms', 'tcp-response content reject if WAIT_END'],
  REJECTS_EMPTY: ['tcp-response content reject if { res.len eq 0 }'],
  REJECTS_EARLY: ['tcp-response content reject if { res.len ge 1 }'],
  REJECTS_FOUND: ['tcp-response content reject if { res.payload(0,1) -m found }'],
  REJECTS_SOURCE: [delay, 'tcp-response content reject if { src 127.0.0.1 }'],
  SETS: ['tcp-response content set-var(sess.seen) res.len'],
  SETS_LATER: [delay, 'tcp-response content set-var(sess.seen) res.len if { res.len ge 8 }'],
  SETS_EARLY: [delay, 'tcp-response content set-var(sess.seen) res.len', 'tcp-response content accept if { res.len ge 8 }'],
  SETS_PAYLOAD: [delay, 'tcp-response content set-var(sess.seen) res.payload(0,4)', 'tcp-response content accept if { res.len ge 8 }'],
  /** Nobody listens at the address of its server. */
  REFUSED: ['retries 0'],
  REQUEST_SETS: ['tcp-request inspect-delay 2s', 'tcp-request content set-var(sess.seen) req.len', 'tcp-request content accept if { req.len ge 6 }'],
};

const stick = ['stick-table type string len 16 size 100 expire 1m', 'stick store-request src'];

const names = Object.keys(listeners);

const configuration = `
global
  stats socket \${DIR}/admin.sock mode 600 level admin
defaults
  mode tcp
  log 127.0.0.1:\${LOG} local0
  log-format "%f %s %ts %B seen=%[var(sess.seen)]"
  timeout client 5s
  timeout server 5s
  timeout connect 5s
${names.map((name) => [`listen ${name}`, `bind 127.0.0.1:\${${name}}`, ...stick, ...(listeners[name] ?? []), `server one 127.0.0.1:\${${name === 'REFUSED' ? 'CLOSED' : 'ORIGIN'}}`].join('\n  ')).join('\n')}
`;

/** Speaks in two parts where its rules wait. @returns what came back until it was over, and how it ended */
async function say(twin: Twin, listener: string): Promise<string> {
  const client = connect({host: '127.0.0.1', port: twin.port(listener)});
  let answer = '';
  let end = '';
  client.on('error', (error: NodeJS.ErrnoException) => {
    if (end === '') end = error.code ?? '';
  });
  client.on('end', () => {
    end = 'ended';
  });
  client.setEncoding('latin1').on('data', (part: string) => {
    answer += part;
  });
  client.write('cli');
  if (listener === 'REQUEST_SETS') setTimeout(() => client.write('ent'), 60);
  await until(() => client.closed, {what: `${twin.name} to end a session of ${listener}`});
  return `${answer} ${end}`;
}

/** What the server says: at once, after its client, or never. */
const sayings = ['banner', 'answer', 'nothing'] as const;

function speak(socket: Socket, saying: (typeof sayings)[number]): void {
  socket.on('error', () => undefined);
  if (saying === 'banner') socket.write('banner');
  socket.once('data', () => {
    if (saying !== 'nothing') {
      setTimeout(() => socket.write('first'), 40);
      setTimeout(() => socket.write('more'), 300);
    }
    setTimeout(() => socket.end(saying === 'nothing' ? '' : 'last'), 600);
  });
}

async function isStored(twin: Twin, name: string): Promise<boolean> {
  return (await askSocket(join(twin.directory, 'admin.sock'), `show table ${name}\n`)).includes('key=127.0.0.1 ');
}

async function course(twin: Twin): Promise<readonly string[]> {
  const heard = await Promise.all(names.map(async (name) => say(twin, name)));
  const lineOf = (name: string): string | undefined => twin.lines.map((line) => line.replace(/^.*?\]: /, '')).find((line) => line.startsWith(`${name} `));
  await until(() => names.every((name) => lineOf(name) !== undefined), {what: `${twin.name} to log all sessions`});
  const rows = parseStat(await askSocket(join(twin.directory, 'admin.sock'), 'show stat\n'));
  const denied = (name: string): string => {
    const {dreq, dresp, bout} = rows.get(`${name}/FRONTEND`) ?? {};
    return `${dreq} requests and ${dresp} answers denied, ${bout} bytes`;
  };
  const stored: boolean[] = [];
  for (const name of names) stored.push(await isStored(twin, name));
  return names.map((name, at) => `${name}: ${heard[at]}; ${lineOf(name)}; ${denied(name)}; ${stored[at] === true ? 'stored' : 'not stored'}`);
}

for (const saying of sayings) {
  pairTest(`rules about a server that says ${saying}`, async (t) => {
    t.timeout(60_000);
    await using scope = new AsyncDisposableStack();
    const directory = scope.use(await temporaryDirectory());
    const origin = await serve(scope, createServer(), (socket) => speak(socket, saying));
    const pair = scope.use(
      await startPair({configuration, ports: names, values: {ORIGIN: origin, CLOSED: String(await freePort())}, directory: directory.path}),
    );
    const [theirs, ours] = await Promise.all([course(pair.haproxy), course(pair.picogate)]);
    t.deepEqual(ours, theirs);
    t.deepEqual(
      ours.map((text) => text.endsWith('not stored')),
      ours.map((text) => / (?:PD|SC) /.test(text)),
    );
    t.is(ours.filter((text) => text.includes(' PD ')).length, saying === 'nothing' ? 4 : 5);
  });
}
