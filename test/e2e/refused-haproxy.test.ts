/** Clients that are refused, by rules or since there is no server: whether they see an end, a reset or nothing, with Debian's HAProxy and with our program. */
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {connect, createServer, type Socket} from 'node:net';
import test from 'ava';
import {freePort} from '../helpers/gateway.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {serve} from './operator-servers.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const origin = `server s 127.0.0.1:\${ORIGIN}`;
const delay = 'tcp-request inspect-delay 100ms';

/** The lines of each listener, and what its clients see. */
const listeners: Readonly<Record<string, readonly [seen: string, ...lines: readonly string[]]>> = {
  CLOSED_PORT: ['end', `server s 127.0.0.1:\${CLOSED}`],
  MAINTENANCE: ['end', `server s 127.0.0.1:\${ORIGIN} disabled`],
  NO_SERVER: ['end'],
  QUEUE_TIMEOUT: ['end', `${origin} maxconn 1`],
  CONNECTION_REJECT: ['reset', 'tcp-request connection reject', origin],
  SESSION_REJECT: ['end', 'tcp-request session reject', origin],
  CONTENT_REJECT: ['end', 'tcp-request content reject', origin],
  LATE_REJECT: ['end', delay, 'tcp-request content reject if WAIT_END', origin],
  CONNECTION_DROP: ['nothing', 'tcp-request connection silent-drop', origin],
  SESSION_DROP: ['nothing', 'tcp-request session silent-drop', origin],
  LATE_DROP: ['nothing', delay, 'tcp-request content silent-drop if WAIT_END', origin],
  ANSWER_REJECT: ['end', 'tcp-response content reject', origin],
  HTTP_CONNECTION_REJECT: ['reset', 'mode http', 'tcp-request connection reject', origin],
  HTTP_SESSION_REJECT: ['end', 'mode http', 'tcp-request session reject', origin],
  HTTP_CONTENT_REJECT: ['end', 'mode http', 'tcp-request content reject', origin],
  HTTP_REJECT: ['end', 'mode http', 'http-request reject', origin],
  HTTP_DROP: ['nothing', 'mode http', 'http-request silent-drop', origin],
};
const names = Object.keys(listeners);

const configuration = `
defaults
  mode tcp
  timeout client 5s
  timeout server 5s
  timeout connect 5s
  timeout queue 300ms
  retries 0
${names.map((name) => [`listen ${name.toLowerCase()}`, `bind 127.0.0.1:\${${name}}`, ...(listeners[name]?.slice(1) ?? [])].join('\n  ')).join('\n')}
`;

/** What the client has said when it is refused; `much`: more than is read of it. */
const sayings: Readonly<Record<string, string>> = {
  nothing: '',
  something: 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n',
  much: `POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(500_000)}`,
};

/** Says once that it is there, and no more. */
function hold(socket: Socket): void {
  socket.on('error', () => undefined);
  socket.on('data', (data) => {
    if (data.toString() === 'hold') socket.write('held');
  });
}

async function visit(port: number, saying: string): Promise<string> {
  const socket = connect({port, host: '127.0.0.1'});
  let seen = '';
  socket.on('error', (error: NodeJS.ErrnoException) => {
    // What it still says when it has seen the end is its own affair.
    if (seen === '') seen = error.code === 'EPIPE' ? 'end' : 'reset';
  });
  socket.on('end', () => {
    if (seen === '') seen = 'end';
  });
  socket.resume();
  socket.write(saying);
  const waited = setTimeout(() => {
    seen = 'nothing';
    socket.destroy();
  }, 1500);
  await once(socket, 'close').catch(() => undefined);
  clearTimeout(waited);
  return seen;
}

async function course(twin: Twin, saying: string): Promise<readonly string[]> {
  const first = connect(twin.port('QUEUE_TIMEOUT'), '127.0.0.1');
  first.write('hold');
  await once(first, 'data');
  // What a client says to a connection that is not there any more is answered with a reset, and it may say it just before; HAProxy resets what `session reject` finds said.
  const said = (name: string): string => {
    if (/^(?:(?:CONNECTION|SESSION)_DROP|(?:HTTP_)?SESSION_REJECT)$/.test(name)) return '';
    return name.includes('DROP') ? saying.slice(0, 100) : saying;
  };
  const seen = await Promise.all(names.map(async (name) => `${name} ${await visit(twin.port(name), said(name))}`));
  first.destroy();
  return seen;
}

for (const [name, saying] of Object.entries(sayings)) {
  pairTest(`refused clients that have said ${name}`, async (t) => {
    t.timeout(60_000);
    await using scope = new AsyncDisposableStack();
    const directory = scope.use(await temporaryDirectory());
    const values = {ORIGIN: await serve(scope, createServer(), hold), CLOSED: String(await freePort())};
    const pair = scope.use(await startPair({configuration, ports: names, values, directory: directory.path}));
    const [theirs, ours] = await Promise.all([course(pair.haproxy, saying), course(pair.picogate, saying)]);
    t.deepEqual(ours, theirs);
    // In mode http somebody who says nothing is not refused.
    const isSure = (line: string): boolean => saying !== '' || !/HTTP_(?:CONTENT_REJECT|REJECT)/.test(line);
    t.deepEqual(ours.filter(isSure), names.map((one) => `${one} ${listeners[one]?.[0]}`).filter(isSure));
  });
}
