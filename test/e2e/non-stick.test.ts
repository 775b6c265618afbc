/** `non-stick`: the same entries in stick tables as with Debian's HAProxy. */
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {connect, createServer} from 'node:net';
import {join} from 'node:path';
import test from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {serve} from './operator-servers.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const proxy = (name: string, options: string): string => `
listen ${name}
  bind 127.0.0.1:\${${name.toUpperCase()}}
  stick-table type ip size 10 expire 1m
  stick on src
${options}
`;

const configuration = `
global
  stats socket \${DIR}/admin.sock mode 600 level admin
defaults
  timeout client 5s
  timeout server 5s
  timeout connect 5s
${proxy('plain', `  server s 127.0.0.1:\${ORIGIN}`)}
${proxy('never', `  server s 127.0.0.1:\${ORIGIN} non-stick`)}
${proxy('again', `  default-server non-stick\n  server s 127.0.0.1:\${ORIGIN} stick`)}
`;

pairTest('servers with non-stick leave no entry in stick tables', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const origin = await serve(scope, createServer(), (socket) => void socket.end('hello'));
  const pair = scope.use(await startPair({configuration, ports: ['PLAIN', 'NEVER', 'AGAIN'], values: {ORIGIN: origin}, directory: directory.path}));
  const used = async (twin: Twin): Promise<readonly string[]> => {
    for (const port of ['PLAIN', 'NEVER', 'AGAIN']) {
      const socket = connect(twin.port(port), '127.0.0.1');
      socket.resume();
      await once(socket, 'close');
    }
    const answer = await askSocket(join(twin.directory, 'admin.sock'), 'show table\n');
    return [...answer.matchAll(/table: (\w+).*(used:\d+)/g)].map(([, name = '', count = '']) => `${name} ${count}`);
  };
  const expected = ['again used:1', 'never used:0', 'plain used:1'];
  t.deepEqual([...(await used(pair.haproxy))].sort(), expected);
  t.deepEqual([...(await used(pair.picogate))].sort(), expected);
});
