/** `nbthread`: traffic goes through all threads, and operators and clients see one gateway. */
import {once} from 'node:events';
import {writeFile} from 'node:fs/promises';
import {createServer, type IncomingMessage, type Server} from 'node:http';
import {Agent, get as getSecurely} from 'node:https';
import {connect, type Socket} from 'node:net';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {echo, type TestServer, testServer} from '../edge/edge-fixture.ts';
import {makeTestCertificate} from '../edge/tls/certificates.ts';
import {type DropInProgram, dropInProgram, echoOnce} from '../helpers/drop-in-program.ts';
import {freePort} from '../helpers/gateway.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {parseStat, type StatLine} from './stat-table.ts';

/** Enough that no thread is left out, in most cases: each takes 4 at a time at most. */
const many = 40;

async function echoServer(t: ExecutionContext, onConnection: (socket: Socket) => void = echo): Promise<TestServer> {
  const server = await testServer(onConnection);
  t.teardown(() => server[Symbol.asyncDispose]());
  return server;
}

/** Says its name. */
async function webOrigin(t: ExecutionContext, name: string): Promise<{readonly port: number; readonly server: Server}> {
  const server = createServer((_request, response) => void response.end(name));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => void server.close());
  t.teardown(() => server.closeAllConnections());
  const address = server.address();
  return {port: address === null || typeof address === 'string' ? 0 : address.port, server};
}

/** Connections that have said something and have been answered, all at a time. */
async function sessions(t: ExecutionContext, port: number, count: number): Promise<readonly Socket[]> {
  return Promise.all(
    Array.from({length: count}, async () => {
      const socket = connect(port, '127.0.0.1');
      t.teardown(() => void socket.destroy());
      socket.on('error', () => undefined);
      socket.write('hello\n');
      await once(socket, 'data');
      return socket;
    }),
  );
}

/** As many as it takes until each thread has some. */
async function everywhere(t: ExecutionContext, program: DropInProgram, port: number): Promise<readonly Socket[]> {
  const open: Socket[] = [];
  const before = await activity(program, 'accepted');
  await until(
    async () => {
      open.push(...(await sessions(t, port, many)));
      return (await activity(program, 'accepted')).every((count, thread) => count > (before[thread] ?? 0));
    },
    {timeoutMs: 20_000, what: 'sessions of each thread'},
  );
  return open;
}

/** Each on a connection of its own. @returns the bodies, or what the status was */
async function requests(port: number, count: number, path = '/'): Promise<readonly string[]> {
  return Promise.all(
    Array.from({length: count}, async () => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, {headers: {connection: 'close'}, signal: AbortSignal.timeout(10_000)});
      return answer.status === 200 ? answer.text() : String(answer.status);
    }),
  );
}

/** By thread. */
async function activity(program: DropInProgram, name: 'accepted' | 'requests' | 'sessions'): Promise<readonly number[]> {
  const line = new RegExp(`^${name}: \\d+ \\[ (.*) \\]$`, 'm').exec(await program.ask('show activity'))?.[1] ?? '';
  return line.split(' ').map(Number);
}

async function stat(program: DropInProgram, row: string): Promise<StatLine> {
  const found = parseStat(await program.ask('show stat')).get(row);
  if (found === undefined) throw new Error(`no row ${row}`);
  return found;
}

async function info(program: DropInProgram, name: string): Promise<string> {
  return new RegExp(`^${name}: (.*)$`, 'm').exec(await program.ask('show info'))?.[1] ?? '';
}
const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);

test('each thread serves mode tcp, and show stat, show info and show sess tell of all together', async (t) => {
  t.timeout(60_000);
  const server = await echoServer(t);
  const front = await freePort();
  const program = await dropInProgram(
    t,
    `global
  nbthread 2
frontend front
  bind 127.0.0.1:${front}
  default_backend back
backend back
  server s 127.0.0.1:${server.port}
`,
  );
  const open = await everywhere(t, program, front);
  const count = open.length;
  const accepted = await activity(program, 'accepted');
  t.is(sum(accepted), count);
  t.is(await info(program, 'Nbthread'), '2');
  t.is(await info(program, 'CurrConns'), String(count));
  t.like(await stat(program, 'front/FRONTEND'), {scur: String(count), stot: String(count), status: 'OPEN', slim: '10000'});
  t.like(await stat(program, 'back/s'), {scur: String(count), stot: String(count)});
  t.like(await stat(program, 'back/BACKEND'), {scur: String(count), stot: String(count)});
  const shown = (await program.ask('show sess')).trimEnd().split('\n');
  t.is(shown.length, count);
  const ids = new Set(shown.map((line) => line.split(':')[0]));
  t.is(ids.size, count, 'each session has a number of its own');

  // Whichever thread it is of.
  const left = Promise.all(open.map((socket) => once(socket, 'close')));
  for (const id of ids) await program.ask(`shutdown session ${id}`);
  await left;
  t.is((await stat(program, 'front/FRONTEND'))['scur'], '0');
  await program.ask('clear counters all');
  t.is((await stat(program, 'front/FRONTEND'))['stot'], '0');
});

test('what an operator sets, and what checks find, holds for each thread', async (t) => {
  t.timeout(90_000);
  const [one, two] = [await webOrigin(t, 'one'), await webOrigin(t, 'two')];
  const {path: directory, ...owned} = await temporaryDirectory();
  t.teardown(() => owned[Symbol.asyncDispose]());
  const map = join(directory, 'words.map');
  await writeFile(map, '/word before\n');
  const front = await freePort();
  const program = await dropInProgram(
    t,
    `global
  nbthread 2
frontend front
  mode http
  bind 127.0.0.1:${front}
  http-request return status 200 content-type text/plain lf-string "%[path,map(${map},none)]" if { path -m beg /word }
  default_backend back
backend back
  mode http
  server one 127.0.0.1:${one.port} check inter 200ms fall 1 rise 1
  server two 127.0.0.1:${two.port} check inter 200ms fall 1 rise 1
`,
  );
  const served = async (path = '/'): Promise<readonly string[]> => {
    const before = await activity(program, 'requests');
    const answers: string[] = [];
    // A crowd may go to one thread, when the other one has none of the processors.
    await until(
      async () => {
        answers.push(...(await requests(front, many, path)));
        return (await activity(program, 'requests')).every((count, thread) => count > (before[thread] ?? 0));
      },
      {timeoutMs: 20_000, what: `each thread to serve ${path}`},
    );
    return [...new Set(answers)].sort();
  };
  t.deepEqual(await served(), ['one', 'two']);
  const {hrsp_2xx: answered} = await stat(program, 'back/BACKEND');
  t.is(Number(answered), sum(await activity(program, 'requests')));
  await program.ask('disable server back/one');
  t.deepEqual(await served(), ['two']);
  await program.ask('enable server back/one');
  await until(async () => (await stat(program, 'back/one'))['status'] === 'UP', {what: 'the server to be up'});
  await program.ask('set server back/two weight 0');
  t.deepEqual(await served(), ['one']);
  await program.ask('set server back/two weight 1');
  t.deepEqual(await served(), ['one', 'two']);

  t.deepEqual(await served('/word'), ['before']);
  await program.ask(`set map ${map} /word after`);
  t.deepEqual(await served('/word'), ['after']);
  const id = /^(0x[0-9a-f]+) \/word/m.exec(await program.ask(`show map ${map}`))?.[1] ?? '';
  await program.ask(`del map ${map} #${id}`);
  t.deepEqual(await served('/word'), ['none']);

  // Checks are the first thread's.
  two.server.close();
  two.server.closeAllConnections();
  await until(async () => (await stat(program, 'back/two'))['status'] === 'DOWN', {what: 'the server to be down'});
  t.deepEqual(await served(), ['one']);

  await program.ask(`add server back/three 127.0.0.1:${one.port}`);
  await program.ask('disable server back/one');
  t.deepEqual(await served(), ['503']);
  await program.ask('enable server back/three');
  t.deepEqual(await served(), ['one']);

  await program.ask('disable frontend front');
  await t.throwsAsync(requests(front, 1));
  await program.ask('enable frontend front');
  t.deepEqual(await served(), ['one']);
});

test('TLS is served by each thread', async (t) => {
  t.timeout(60_000);
  const origin = await webOrigin(t, 'origin');
  const {path: directory, ...owned} = await temporaryDirectory();
  t.teardown(() => owned[Symbol.asyncDispose]());
  await makeTestCertificate(directory, {file: 'site.pem', names: ['site.test']});
  const front = await freePort();
  const program = await dropInProgram(
    t,
    `global
  nbthread 2
frontend front
  mode http
  bind 127.0.0.1:${front} ssl crt ${directory}/site.pem
  default_backend back
backend back
  mode http
  server s 127.0.0.1:${origin.port}
`,
  );
  const ask = async (): Promise<number | undefined> => {
    const request = getSecurely({port: front, host: '127.0.0.1', servername: 'site.test', rejectUnauthorized: false, agent: new Agent({keepAlive: false})});
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.resume();
    return response.statusCode;
  };
  const answers: (number | undefined)[] = [];
  await until(
    async () => {
      answers.push(...(await Promise.all(Array.from({length: many}, ask))));
      return (await activity(program, 'requests')).every((count) => count > 0);
    },
    {timeoutMs: 20_000, what: 'each thread to have served'},
  );
  t.deepEqual([...new Set(answers)], [200]);
  t.is(await info(program, 'CumSslConns'), String(answers.length));
});

test('a reload loses no connection, and sessions of before stay where they are', async (t) => {
  t.timeout(90_000);
  const server = await echoServer(t);
  const front = await freePort();
  const sections = (threads: number): string => `global
  nbthread ${threads}
frontend front
  bind 127.0.0.1:${front}
  default_backend back
backend back
  server s 127.0.0.1:${server.port}
`;
  const program = await dropInProgram(t, sections(2));
  const open = await everywhere(t, program, front);
  const state = {ended: false, done: 0};
  const load = Promise.all(
    Array.from({length: 8}, async () => {
      while (!state.ended) {
        await echoOnce({port: front});
        state.done++;
      }
    }),
  );
  for (const threads of [2, 3, 1, 2]) {
    await program.configure(sections(threads));
    t.regex(await program.ask('reload'), /Success=1/);
    const before = state.done;
    await until(() => state.done > before + 20, {what: 'clients of the new configuration'});
  }
  state.ended = true;
  await load;
  t.true(state.done > 80, String(state.done));
  for (const socket of open) {
    socket.write('still\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    t.is(String(answer), 'still\n');
  }
  for (const socket of open) socket.destroy();
  await until(async () => (await info(program, 'CurrConns')) === '0', {what: 'all sessions to end'});
  t.is(await info(program, 'Nbthread'), '2');
});

test('a soft stop waits for the sessions of each thread, and hard-stop-after ends them', async (t) => {
  t.timeout(60_000);
  const server = await echoServer(t);
  const front = await freePort();
  const program = await dropInProgram(
    t,
    `global
  nbthread 2
  hard-stop-after 1500ms
frontend front
  bind 127.0.0.1:${front}
  default_backend back
backend back
  server s 127.0.0.1:${server.port}
`,
  );
  const open = await everywhere(t, program, front);
  const closed = Promise.all(open.map((socket) => once(socket, 'close')));
  const beganMs = performance.now();
  program.signal('SIGUSR1');
  await until(() => refused(front), {what: 'the port to be closed'});
  for (const socket of open) {
    socket.write('still\n');
    await once(socket, 'data');
  }
  t.is((await program.exited).exitCode, 0);
  await closed;
  t.true(performance.now() - beganMs > 1400);
});

async function refused(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  const isRefused = await Promise.race([once(socket, 'connect').then(() => false), once(socket, 'close').then(() => true)]).catch(() => true);
  socket.destroy();
  return isRefused;
}

test('maxconn holds for all threads together', async (t) => {
  t.timeout(60_000);
  const atServer = {count: 0};
  const server = await echoServer(t, (socket) => {
    atServer.count++;
    socket.on('close', () => {
      atServer.count--;
    });
    echo(socket);
  });
  const [front, other] = [await freePort(), await freePort()];
  const program = await dropInProgram(
    t,
    `global
  nbthread 2
  maxconn 12
frontend front
  bind 127.0.0.1:${front}
  maxconn 7
  default_backend back
frontend other
  bind 127.0.0.1:${other}
  default_backend back
backend back
  server s 127.0.0.1:${server.port}
`,
  );
  const waiting = Array.from({length: 30}, () => connect(front, '127.0.0.1'));
  for (const socket of waiting) {
    socket.on('error', () => undefined);
    t.teardown(() => void socket.destroy());
    socket.write('hello\n');
  }
  await until(() => atServer.count === 7, {what: 'as many sessions as the frontend may have'});
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.is(atServer.count, 7);
  t.like(await stat(program, 'front/FRONTEND'), {scur: '7', slim: '7', status: 'FULL'});
  const more = Array.from({length: 30}, () => connect(other, '127.0.0.1'));
  for (const socket of more) {
    socket.on('error', () => undefined);
    t.teardown(() => void socket.destroy());
    socket.write('hello\n');
  }
  await until(() => atServer.count >= 12, {what: 'as many sessions as there may be'});
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.true(atServer.count <= 15, `${atServer.count}: threads that accept at the same moment may be past it`);
  for (const socket of more) socket.destroy();
  await until(() => atServer.count === 7, {what: 'the others to leave'});
  await program.ask('set maxconn frontend front 9');
  await until(() => atServer.count === 9, {what: 'two more'});
  t.is((await stat(program, 'front/FRONTEND'))['slim'], '9');
});

test('a frontend that needs one memory is served by the first thread, and a warning says why', async (t) => {
  t.timeout(60_000);
  const server = await echoServer(t);
  const [front, tracked] = [await freePort(), await freePort()];
  const program = await dropInProgram(
    t,
    `global
  nbthread 2
frontend front
  bind 127.0.0.1:${front}
  default_backend back
frontend tracked
  bind 127.0.0.1:${tracked}
  stick-table type ip size 1k expire 1m store conn_cnt
  tcp-request connection track-sc0 src
  default_backend back
backend back
  server s 127.0.0.1:${server.port}
`,
  );
  t.regex(await program.log(), /frontend 'tracked' is served by the first of 2 threads only \(nbthread\): 'tracked' has a 'stick-table'/);
  await sessions(t, tracked, many);
  t.deepEqual(await activity(program, 'accepted'), [many, 0]);
  t.regex(await program.ask('show table tracked'), new RegExp(`conn_cnt=${many}\\b`));
  await t.notThrowsAsync(everywhere(t, program, front), 'the other frontend is served by each thread');
  t.notRegex(await program.log(), /frontend 'front' is served by the first/);
});
