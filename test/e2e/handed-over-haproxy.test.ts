/** A process takes over from another one while clients connect: with its listening sockets (`-x`) or without, each of both programs from each. */

import {once} from 'node:events';
import {existsSync, openSync} from 'node:fs';
import {readFile, writeFile} from 'node:fs/promises';
import {connect} from 'node:net';
import {join} from 'node:path';
import test from 'ava';
import {type Daemon, startDaemon} from '../../src/core/command.ts';
import {askSocket} from '../admin/stats-client.ts';
import {echo, testServer} from '../edge/edge-fixture.ts';
import {echoOnce} from '../helpers/drop-in-program.ts';
import {freePort, programPath} from '../helpers/gateway.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test.serial : test.serial.skip;

type Program = 'haproxy' | 'picogate';
const commands = {haproxy: '/usr/sbin/haproxy', picogate: programPath} as const;

/** A connection, a request, an answer. */
async function httpOnce(port: number): Promise<void> {
  const socket = connect({host: '127.0.0.1', port});
  try {
    let text = '';
    socket.on('data', (data: Buffer) => {
      text += data.toString('latin1');
    });
    socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await once(socket, 'close');
    if (!text.startsWith('HTTP/1.1 200 ')) throw new Error(`the answer is ${JSON.stringify(text)}`);
  } finally {
    socket.destroy();
  }
}

interface Start {
  readonly program: Program;
  readonly directory: string;
  readonly args: readonly string[];
  readonly number: number;
}

/** Settles when it answers on the stats socket. */
async function start({program, directory, args, number}: Start): Promise<Daemon> {
  const output = join(directory, `output-${number}`);
  const pid = join(directory, `pid-${number}`);
  const daemon = await startDaemon([commands[program], '-db', '-f', join(directory, 'pair.cfg'), '-p', pid, ...args], {
    stdio: ['ignore', openSync(output, 'a'), openSync(output, 'a')],
  });
  await until(async () => (await askSocket(join(directory, 'admin.sock'), 'show info\n').catch(() => '')).includes(`Pid: ${daemon.pid}\n`), {
    what: `${program} ${number} to be there`,
    timeoutMs: 20_000,
  });
  return daemon;
}

/** Which socket listens there. */
async function listenerOf(port: number): Promise<string | undefined> {
  const address = `:${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A`;
  const line = (await readFile('/proc/net/tcp', 'latin1')).split('\n').find((candidate) => candidate.includes(address));
  return line?.trim().split(/ +/)[9];
}

const courses: readonly (readonly [string, boolean, readonly Program[]])[] = [
  ['one of ours from one of ours, with its sockets', true, ['picogate', 'picogate', 'picogate']],
  ['one of ours from an HAProxy, and back, with its sockets', true, ['haproxy', 'picogate', 'haproxy']],
  ['one of ours from one of ours, without its sockets', false, ['picogate', 'picogate', 'picogate']],
];

for (const [title, hasSockets, programs] of courses) {
  pairTest(title, async (t) => {
    t.timeout(60_000);
    await using scope = new AsyncDisposableStack();
    const {path: directory} = scope.use(await temporaryDirectory());
    const server = scope.use(await testServer(echo));
    const [tcp, http] = [await freePort(), await freePort()];
    const path = join(directory, 'front.sock');
    await writeFile(
      join(directory, 'pair.cfg'),
      `global
  stats socket ${directory}/admin.sock mode 600 level admin expose-fd listeners
defaults
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen tcp
  mode tcp
  bind 127.0.0.1:${tcp}
  bind ${path}
  server one 127.0.0.1:${server.port}
listen http
  mode http
  bind :::${http} v4v6
  http-request return status 200
`,
    );
    const failures: string[] = [];
    const state = {isOver: false, done: 0};
    const client = async (turn: () => Promise<void>): Promise<void> => {
      while (!state.isOver) {
        await turn().catch((error: unknown) => failures.push(String(error)));
        state.done++;
      }
    };
    let daemon = scope.use(await start({program: programs[0] ?? 'picogate', directory, args: [], number: 0}));
    const first = await listenerOf(tcp);
    const clients = Promise.all([
      ...Array.from({length: 6}, () => client(() => echoOnce({port: tcp}))),
      ...Array.from({length: 6}, () => client(() => httpOnce(http))),
      client(() => echoOnce({path})),
    ]);
    for (const [at, program] of programs.slice(1).entries()) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      const args = [...(hasSockets ? ['-x', join(directory, 'admin.sock')] : []), '-sf', String(daemon.pid)];
      const next = scope.use(await start({program, directory, args, number: at + 1}));
      await daemon.exited;
      daemon = next;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
    state.isOver = true;
    await clients;
    t.is((await listenerOf(tcp)) === first, hasSockets);
    t.log(`${state.done} sessions, ${failures.length} failed: ${[...new Set(failures)].join(', ')}`);
    t.deepEqual(failures, []);
  });
}

pairTest('a client that has not asked yet when its process is to end softly still gets its answer, and the connection ends', async (t) => {
  for (const program of ['haproxy', 'picogate'] as const) {
    await using scope = new AsyncDisposableStack();
    const {path: directory} = scope.use(await temporaryDirectory());
    const port = await freePort();
    await writeFile(
      join(directory, 'pair.cfg'),
      `global
  stats socket ${directory}/admin.sock mode 600 level admin
defaults
  timeout client 5s
listen http
  mode http
  bind 127.0.0.1:${port}
  http-request return status 200
`,
    );
    const daemon = scope.use(await start({program, directory, args: [], number: 0}));
    const client = connect({host: '127.0.0.1', port});
    await once(client, 'connect');
    let text = '';
    client.on('data', (data: Buffer) => {
      text += data.toString('latin1');
    });
    await until(async () => (await askSocket(join(directory, 'admin.sock'), 'show info\n')).includes('CurrConns: 1\n') || program === 'haproxy', {
      what: 'the connection',
    });
    process.kill(daemon.pid, 'SIGUSR1');
    await until(async () => (await listenerOf(port)) === undefined, {what: `${program} to listen no more`});
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(client, 'close');
    t.regex(text, /^HTTP\/1.1 200 OK\r\n(?:.+\r\n)*connection: close\r\n/, program);
    await daemon.exited;
  }
});
