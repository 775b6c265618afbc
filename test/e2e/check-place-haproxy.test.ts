/** `set server check-addr` and `check-port`, told to Debian's HAProxy and to our program: the same answers, and checks go to the same places. */
import {existsSync} from 'node:fs';
import {createServer} from 'node:net';
import {join} from 'node:path';
import test from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {freePort} from '../helpers/gateway.ts';
import {startPair} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve} from './operator-servers.ts';
import {parseStat} from './stat-table.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const configuration = `
global
  stats socket \${DIR}/admin.sock mode 600 level admin
defaults
  mode tcp
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend f
  bind 127.0.0.1:\${FRONT}
  default_backend b
backend b
  server open 127.0.0.1:\${OPEN} check inter 50 fall 1 rise 1
  server placed 127.0.0.1:\${OPEN} check inter 50 fall 1 rise 1 port \${CLOSED} addr 127.0.0.1
  server plain 127.0.0.1:\${OPEN}
  server follower 127.0.0.1:\${OPEN} track b/open
`;

pairTest('checks go where an operator sends them', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const open = await serve(
    scope,
    createServer((socket) => void socket.on('error', () => undefined).end()),
    () => undefined,
  );
  const closed = String(await freePort());
  const {haproxy, picogate} = scope.use(await startPair({configuration, ports: ['FRONT'], values: {OPEN: open, CLOSED: closed}, directory: directory.path}));
  const ask = (twin: typeof haproxy, command: string): Promise<string> => askSocket(join(twin.directory, 'admin.sock'), `${command}\n`);
  const same = async (command: string): Promise<void> => {
    t.is(await ask(picogate, command), await ask(haproxy, command), command);
  };
  /** Where both check it, as they tell. */
  const places = async (twin: typeof haproxy): Promise<readonly string[]> =>
    (await ask(twin, 'show servers state b')).split('\n').map((line) => line.split(' ').slice(21, 23).join(' '));
  const becomes = async (server: string, status: string): Promise<void> => {
    for (const twin of [haproxy, picogate]) {
      await until(
        async () =>
          parseStat(await ask(twin, 'show stat'))
            .get(`b/${server}`)
            ?.status?.startsWith(status) === true,
        {
          what: `${server} ${status} of ${twin.name}`,
        },
      );
    }
    t.deepEqual(await places(picogate), await places(haproxy), `${server} ${status}`);
  };
  await becomes('open', 'UP');
  await becomes('placed', 'DOWN');
  await same(`set server b/placed check-port ${open}`);
  await becomes('placed', 'UP');
  await same(`set server b/open check-addr 127.0.0.1 port ${closed}`);
  await becomes('open', 'DOWN');
  await becomes('follower', 'DOWN');
  await same('set server b/open check-port 0');
  await becomes('open', 'UP');
  await same('set server b/open check-addr ::1');
  await becomes('open', 'DOWN');
  await same('set server b/open check-addr 127.0.0.2');
  for (const server of ['open', 'plain', 'follower']) {
    for (const rest of [
      '',
      ' 127.0.0.1 port',
      ' 127.0.0.1 port x',
      ' 127.0.0.1 port -1',
      ' 127.0.0.1 port 65536',
      ' name',
      ' 127.0.0.1:80',
      ' 1',
      ' fe80::1%lo',
      ' /x',
    ]) {
      await same(`set server b/${server} check-addr${rest}`);
    }
    for (const rest of ['', ' x', ' -1', ' 65536']) await same(`set server b/${server} check-port${rest}`);
  }
  t.deepEqual(await places(picogate), await places(haproxy));
  await same('set server b/open check-addr [::1] other 9');
  t.deepEqual(await places(picogate), await places(haproxy));
  await same('set server b/open check-addr *');
  await becomes('open', 'UP');
  await same('disable health b/open');
  await same(`set server b/open check-port ${closed}`);
  await same('set server b/none check-port 1');
});
