/** Persistence cookies that are made of a key and where servers are: those of Debian's HAProxy and ours, as operators change them, and of servers that are added. */
import {existsSync} from 'node:fs';
import {createServer, type Socket} from 'node:net';
import {join} from 'node:path';
import test from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {rawExchange} from '../edge/http/raw-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {serve} from './operator-servers.ts';
import {parseStat} from './stat-table.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

/** Shorter and longer than what is hashed at once. */
const keys = ['k', 'a key with blanks', 'a-key-of-more-than-thirty-two-bytes-and-then-some', 'gr\\xc3\\xbc\\xc3\\x9fe'] as const;

const servers = `server one 127.0.0.1:\${ORIGIN}
  server other 127.0.0.1:\${SECOND}
  server six [2001:db8::1:2]:443 disabled
  server mapped [::ffff:192.0.2.1]:80 disabled
  server path unix@/nowhere disabled
  server fixed 127.0.0.1:\${ORIGIN} cookie mine weight 0`;

const configuration = `
global
  stats socket \${DIR}/admin.sock mode 600 level admin
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
listen web
  bind 127.0.0.1:\${WEB}
  balance roundrobin
  dynamic-cookie-key ${keys[0]}
  cookie sess insert dynamic
  ${servers}
${keys.map((key, at) => `backend key${at}\n  dynamic-cookie-key "${key}"\n  cookie sess insert dynamic\n  ${servers}`).join('\n')}
backend keyless
  cookie sess insert dynamic
  ${servers}
backend static
  dynamic-cookie-key k
  cookie sess insert
  ${servers}
`;

const ask = async (twin: Twin, command: string): Promise<string> => askSocket(join(twin.directory, 'admin.sock'), `${command}\n`);

async function values(twin: Twin): Promise<readonly string[]> {
  const rows = parseStat(await ask(twin, 'show stat'));
  return [...rows].filter(([name]) => !name.startsWith('web/FRONT')).map(([name, row]) => `${name} ${row['cookie']}`);
}

/** Of the server that is reached, and what it is called there. */
async function visit(twin: Twin, cookie: string): Promise<string> {
  const text = await rawExchange(twin.port('WEB'), `GET / HTTP/1.1\r\nHost: h\r\nCookie: sess=${cookie}\r\nConnection: close\r\n\r\n`);
  return `${/^set-cookie: *(\S+)/im.exec(text)?.[1] ?? 'known'} ${text.split('\r\n\r\n')[1]}`;
}

/** By what the file and operators say. */
async function course(twin: Twin): Promise<readonly string[]> {
  const seen: string[] = [];
  const note = async (what: string): Promise<void> => {
    const found = (await values(twin)).filter((line) => line.startsWith('web/') || what === 'file');
    seen.push(`${what}: ${found.join(', ')}`);
  };
  await note('file');
  for (const command of [
    'set dynamic-cookie-key backend web other-key',
    'disable dynamic-cookie backend web',
    'set dynamic-cookie-key backend web k',
    'enable dynamic-cookie backend web',
    'set server web/six addr 192.0.2.9 port 8080',
    'set dynamic-cookie-key backend web',
    'set dynamic-cookie-key backend nobody k',
    'enable dynamic-cookie backend',
    'disable dynamic-cookie backend nobody',
  ]) {
    seen.push(`${command}: ${await ask(twin, command)}`);
    await note('then');
  }
  for (const name of ['one', 'other', 'fixed']) {
    const value = new Map((await values(twin)).map((line) => [line.split(' ')[0], line.split(' ')[1]])).get(`web/${name}`) ?? '';
    for (let count = 0; count < 2; count++) seen.push(`${name}: ${await visit(twin, value)}`);
  }
  return seen;
}

function answering(name: string): (socket: Socket) => void {
  return (socket) => void socket.once('data', () => void socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`));
}

pairTest('dynamic cookies have the values of HAProxy, and lead to the same servers', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const origins = {ORIGIN: await serve(scope, createServer(), answering('one')), SECOND: await serve(scope, createServer(), answering('other'))};
  const pair = scope.use(await startPair({configuration, ports: ['WEB'], values: origins, directory: directory.path}));
  const [ours, theirs] = [await course(pair.picogate), await course(pair.haproxy)];
  t.deepEqual(ours, theirs);
  t.regex(ours[0] ?? '', /web\/one [0-9a-f]{16},/);
  t.true(ours.includes('other: known other'), ours.join('\n'));
});

pairTest('servers that were added are found by their cookies, those of their own and those that are made', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const origins = {ORIGIN: await serve(scope, createServer(), answering('one')), SECOND: await serve(scope, createServer(), answering('other'))};
  const added = await serve(scope, createServer(), answering('added'));
  const pair = scope.use(await startPair({configuration, ports: ['WEB'], values: origins, directory: directory.path}));
  const visits = async (twin: Twin, name: string): Promise<readonly string[]> => {
    await ask(twin, `enable server web/${name}`);
    const value = (await values(twin)).find((line) => line.startsWith(`web/${name} `))?.split(' ')[1] ?? '';
    return [value, await visit(twin, value), await visit(twin, value)];
  };
  const [theirs, ours] = await Promise.all(
    [pair.haproxy, pair.picogate].map(async (twin) => {
      await ask(twin, `add server web/made 127.0.0.1:${added}`);
      // Debian's HAProxy has forgotten to make it until then.
      for (const host of ['127.0.0.2', '127.0.0.1']) await ask(twin, `set server web/made addr ${host}`);
      return visits(twin, 'made');
    }),
  );
  t.deepEqual(ours, theirs);
  t.regex(ours?.join() ?? '', /^[0-9a-f]{16},known added,known added$/);
  // Newer ones than Debian's take a value, too.
  await ask(pair.picogate, `add server web/named 127.0.0.1:${added} cookie new`);
  t.deepEqual(await visits(pair.picogate, 'named'), ['new', 'known added', 'known added']);
});
