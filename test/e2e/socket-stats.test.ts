/** `option socket-stats`: the rows of binds in `show stat` after the same traffic are those of Debian's HAProxy. */
import {existsSync} from 'node:fs';
import {connect, createServer} from 'node:net';
import {join} from 'node:path';
import test from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve} from './operator-servers.ts';
import {parseStat, type StatLine} from './stat-table.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const configuration = `
global
  stats socket \${DIR}/admin.sock mode 600 level admin
defaults
  timeout client 5s
  timeout server 5s
  timeout connect 5s
  option socket-stats
listen web
  mode http
  bind 127.0.0.1:\${ONE} name one
  bind 127.0.0.1:\${TWO},127.0.0.1:\${THREE}
  bind 127.0.0.1:\${FOUR} maxconn 7
  tcp-request connection reject if { dst_port \${THREE} }
  tcp-request session reject if { dst_port \${TWO} }
  http-request return status 200 if { path /here }
  http-request deny if { path /deny }
  server s 127.0.0.1:\${ORIGIN}
frontend not-counted
  no option socket-stats
  bind 127.0.0.1:\${NONE}
  default_backend origin
frontend stream
  bind 127.0.0.1:\${STREAM} accept-proxy
  bind \${DIR}/stream.sock name unix
  tcp-request inspect-delay 5s
  tcp-request content reject if { req.payload(0,4) -m str evil }
  default_backend origin
backend origin
  server s 127.0.0.1:\${ORIGIN}
`;
const ports = ['ONE', 'TWO', 'THREE', 'FOUR', 'NONE', 'STREAM'] as const;

async function talk(to: {port: number; host: string} | {path: string}, text: string): Promise<void> {
  const socket = connect(to);
  socket.on('error', () => {
    // It is refused; 'close' follows.
  });
  const closed = new Promise((resolve) => void socket.once('close', resolve));
  socket.resume();
  socket.write(Buffer.from(text, 'latin1'));
  await closed;
}

async function traffic(twin: Twin): Promise<void> {
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
  const to = (port: string): {port: number; host: string} => ({port: twin.port(port), host: '127.0.0.1'});
  for (const path of ['/', '/here', '/deny']) await talk(to('ONE'), get(path));
  await talk(to('ONE'), '\0\r\n\r\n');
  for (const port of ['TWO', 'THREE', 'FOUR', 'NONE', 'STREAM']) await talk(to(port), get('/'));
  await talk(to('STREAM'), `PROXY UNKNOWN\r\n${get('/')}`);
  await talk(to('STREAM'), 'PROXY UNKNOWN\r\nevil');
}

/**
 * Without our columns, which HAProxy has not, and without what differs by nature: ports, how heads are written, and
 * how soon it is noticed that a connection is over. */
function comparable(row: StatLine): unknown {
  const {addr, bin, bout, smax, ...rest} = row;
  const counts = row['mode'] === 'http' ? {hasBytes: bin !== '0'} : {bin, bout};
  const kept = Object.entries(rest).filter(([name]) => !/^(?:app|app_.*|ssl_.*|h[12]_.*|-|)$/.test(name));
  return {...Object.fromEntries(kept), addr: addr?.replace(/:\d+$/, ':PORT'), hasSessions: smax !== '0', ...counts};
}

pairTest('show stat has the rows of HAProxy for binds', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const origin = await serve(
    scope,
    createServer(),
    (socket) => void socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello')),
  );
  const pair = scope.use(await startPair({configuration, ports, values: {ORIGIN: origin}, directory: directory.path}));
  const rowsOf = async (twin: Twin): Promise<unknown> => {
    const ask = (command: string): Promise<string> => askSocket(join(twin.directory, 'admin.sock'), `${command}\n`);
    await traffic(twin);
    const listeners = async (): Promise<readonly StatLine[]> => [...parseStat(await ask('show stat -1 8 -1')).values()];
    await until(async () => (await listeners()).every(({scur}) => scur === '0'), {what: `${twin.name}: the last connection to be over`});
    const rows = await listeners();
    const all = [...parseStat(await ask('show stat')).keys()];
    const second = [...parseStat(await ask('show stat -1 8 2')).keys()];
    const typed = (await ask('show stat typed')).split('\n').find((line) => line.startsWith('L.') && line.includes('svname'));
    return {rows: rows.map(comparable), all, second, typed: typed?.replace(/^L\.\d+/, 'L.N')};
  };
  const theirs = await rowsOf(pair.haproxy);
  t.deepEqual(await rowsOf(pair.picogate), theirs);
});
