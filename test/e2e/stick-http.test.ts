/** Persistence by stick tables in mode http: whom a key belongs to, through Debian's HAProxy and through our program. */
import {existsSync} from 'node:fs';
import {createServer, request} from 'node:http';
import {join} from 'node:path';
import test from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {serve} from './operator-servers.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const servers = `
  server s1 127.0.0.1:\${ONE}
  server s2 127.0.0.1:\${TWO}
`;

const configuration = `
global
  stats socket \${DIR}/admin.sock mode 600 level admin
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
listen users
  bind 127.0.0.1:\${USERS}
  balance roundrobin
  stick-table type string len 32 size 100 expire 1m
  stick on req.hdr(x-user) if { req.hdr(x-user) -m found }
  http-response set-header x-token changed
${servers}
listen tokens
  bind 127.0.0.1:\${TOKENS}
  balance roundrobin
  stick-table type string len 32 size 100 expire 1m
  stick store-response res.hdr(x-token)
  stick match req.hdr(x-token)
  http-response set-header x-token changed
${servers}
listen cookies
  bind 127.0.0.1:\${COOKIES}
  balance roundrobin
  cookie SRV insert
  use-server s1 if { path /one }
  stick-table type string len 32 size 100 expire 1m
  stick on req.hdr(x-user)
  server s1 127.0.0.1:\${ONE} cookie c1
  server s2 127.0.0.1:\${TWO} cookie c2
`;

/** @returns the name of the server that has answered */
async function ask(twin: Twin, port: string, headers: Readonly<Record<string, string>>, path = '/'): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({host: '127.0.0.1', port: twin.port(port), path, headers, agent: false}, (answer) => {
      let body = '';
      answer.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      answer.on('end', () => resolve(body));
      answer.on('error', reject);
    });
    asked.on('error', reject);
    asked.end();
  });
}

/** What each request is answered by: one after the other. */
async function course(twin: Twin): Promise<Readonly<Record<string, readonly string[]>>> {
  const users: string[] = [];
  for (const user of ['ann', 'bob', 'ann', 'ann', 'bob', 'cleo', 'ann', 'cleo', 'bob']) users.push(await ask(twin, 'USERS', {'x-user': user}));
  const tokens: string[] = [];
  for (const token of ['', '', 'of-s1', 'of-s1', 'of-s2', 'of-s2', 'of-s2', 'of-none', 'of-s1'])
    tokens.push(await ask(twin, 'TOKENS', token === '' ? {} : {'x-token': token}));
  const cookies: string[] = [];
  for (const [user, cookie, path] of [
    ['dan', '', '/'],
    ['dan', 'SRV=c2', '/'],
    ['dan', '', '/'],
    ['dan', 'SRV=c1', '/'],
    ['dan', '', '/'],
    ['dan', 'SRV=c2', '/one'],
    ['dan', '', '/'],
  ] as const) {
    cookies.push(await ask(twin, 'COOKIES', {'x-user': user, ...(cookie === '' ? {} : {cookie})}, path));
  }
  return {users, tokens, cookies};
}

pairTest('a key stays with the server that has answered it, as with HAProxy; cookies and use-server come first', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const origin = async (name: string): Promise<string> =>
    serve(
      scope,
      createServer({keepAlive: false}, (_request, response) => void response.setHeader('x-token', `of-${name}`).end(name)),
      () => undefined,
    );
  const values = {ONE: await origin('s1'), TWO: await origin('s2')};
  const pair = scope.use(await startPair({configuration, ports: ['USERS', 'TOKENS', 'COOKIES'], values, directory: directory.path}));
  const ours = await course(pair.picogate);
  t.deepEqual(ours, await course(pair.haproxy));
  const [first = '', second = ''] = ours['users'] ?? [];
  t.not(first, second);
  t.deepEqual(ours['users']?.slice(0, 5), [first, second, first, first, second]);
  t.deepEqual(ours['tokens']?.slice(2, 7), ['s1', 's1', 's2', 's2', 's2']);
  const table = async (twin: Twin): Promise<readonly string[]> =>
    [...(await askSocket(join(twin.directory, 'admin.sock'), 'show table users\n')).matchAll(/key=(\w+) .*server_id=(\d+)/g)]
      .map(([, key = '', id = '']) => `${key} ${id}`)
      .sort();
  t.deepEqual(await table(pair.picogate), await table(pair.haproxy));
  t.is((await table(pair.picogate)).length, 3);
});
