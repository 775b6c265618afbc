/** The program in the place of `haproxy`: what it prints, its exit statuses, in the background, under systemd, without root. */
import {once} from 'node:events';
import {access, chmod, mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {createServer} from 'node:net';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {startDaemon} from '../../src/core/command.ts';
import {bindSocket, close, socket, socketType, tryRead} from '../../src/core/libc.ts';
import {unixSocketAddress} from '../../src/edge/socket-address.ts';
import {askSocket} from '../admin/stats-client.ts';
import {echo, testClient, testServer} from '../edge/edge-fixture.ts';
import {defaults, dropInProgram, echoOnce} from '../helpers/drop-in-program.ts';
import {freePort, programPath} from '../helpers/gateway.ts';
import {runs} from '../helpers/gateway-processes.ts';
import {rootTest} from '../helpers/root-test.ts';
import {runProgram} from '../helpers/run-program.ts';
import {until} from '../helpers/until.ts';

async function directoryOf(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp('/tmp/picogate-test-');
  t.teardown(() => rm(directory, {recursive: true}));
  return directory;
}

test('exit statuses and output of checks are those of HAProxy', async (t) => {
  const directory = await directoryOf(t);
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory, name), text);
    return join(directory, name);
  };
  const good = await file('good.cfg', `${defaults}listen l\n  bind 127.0.0.1:1\n  server s 127.0.0.1:1\n`);
  const warns = await file('warns.cfg', 'listen l\n  bind 127.0.0.1:1\n  server s 127.0.0.1:1\n');
  const bad = await file('bad.cfg', 'listen l\n  bnid 127.0.0.1:1\n');
  t.deepEqual(await runProgram(['-c', '-f', good]), {exitCode: 0, stdout: 'Configuration file is valid\n', stderr: ''});
  t.deepEqual(await runProgram(['-c', '-q', '-f', warns]), {exitCode: 0, stdout: '', stderr: ''});
  t.like(await runProgram(['-c', '-V', '-f', warns]), {exitCode: 0, stdout: 'Warnings were found.\nConfiguration file is valid\n'});
  t.is((await runProgram(['-c', '-f', bad])).exitCode, 1);
  t.is((await runProgram(['-db', '-f', bad])).exitCode, 1);
  t.is((await runProgram(['-c', '-f', join(directory, 'none.cfg')])).exitCode, 1);
  const unknown = await runProgram(['-Z']);
  t.is(unknown.exitCode, 1);
  t.regex(unknown.stderr, /unknown option "-Z"\nUsage : picogate/);
  t.is((await runProgram(['-c'], {prefix: ['env', '-u', 'PICOGATE_CONFIG']})).exitCode, 1);
  t.regex((await runProgram(['-v'])).stdout, /^Picogate version \d+\.\d+\.\d+ /);
  t.regex((await runProgram(['-vv'])).stdout, /^Feature list : .*\+PICOGATE/m);
});

test('what cannot be opened ends the program with status 2 and a reason', async (t) => {
  const directory = await directoryOf(t);
  await using taken = await testServer(echo);
  const file = join(directory, 'taken.cfg');
  await writeFile(file, `${defaults}listen l\n  bind 127.0.0.1:${taken.port}\n  server s 127.0.0.1:1\n`);
  const ended = await runProgram(['-db', '-f', file]);
  t.is(ended.exitCode, 2);
  t.regex(ended.stderr, /\[ALERT\].*Cannot bind frontend "l" to tcp 127\.0\.0\.1:\d+: the port is in use/);
});

test('-D goes on in the background when it is ready, with its number in the pid file', async (t) => {
  const directory = await directoryOf(t);
  await using server = await testServer(echo);
  const port = await freePort();
  const file = join(directory, 'daemon.cfg');
  const pidFile = join(directory, 'pid');
  await writeFile(file, `${defaults}listen l\n  bind 127.0.0.1:${port}\n  server s 127.0.0.1:${server.port}\n`);
  // It ends although its output is a pipe that somebody reads to the end.
  t.like(await runProgram(['-D', '-f', file, '-p', pidFile]), {exitCode: 0, stdout: ''});
  const pid = Number((await readFile(pidFile, 'utf8')).trim());
  t.teardown(() => {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended, as it should.
    }
  });
  await echoOnce({port});
  process.kill(pid, 'SIGUSR1');
  await until(async () => !(await runs(pid)));

  await using taken = await testServer(echo);
  await writeFile(file, `${defaults}listen l\n  bind 127.0.0.1:${taken.port}\n  server s 127.0.0.1:1\n`);
  const failed = await runProgram(['-D', '-f', file]);
  t.is(failed.exitCode, 2);
  t.regex(failed.stderr, /the port is in use/);
});

test('systemd is told of the start, a reload and the end, and that all is well', async (t) => {
  const directory = await directoryOf(t);
  await using server = await testServer(echo);
  const port = await freePort();
  const path = join(directory, 'notify');
  const fd = socket(1, socketType.datagram | socketType.nonBlocking | socketType.closeOnExec, 0);
  t.teardown(() => close(fd));
  bindSocket(fd, unixSocketAddress(path, {abstract: false}));
  const buffer = Buffer.alloc(4096);
  const messages: string[] = [];
  const heard = (word: string): Promise<void> =>
    until(
      () => {
        for (let size = tryRead(fd, buffer); size > 0; size = tryRead(fd, buffer)) messages.push(buffer.toString('utf8', 0, size));
        return messages.some((message) => message.split('\n').includes(word));
      },
      {what: word},
    );
  const program = await dropInProgram(t, `listen l\n  bind 127.0.0.1:${port}\n  server s1 127.0.0.1:${server.port}\n`, {
    env: {NOTIFY_SOCKET: path, WATCHDOG_USEC: '200000'},
  });
  await heard('READY=1');
  await heard(`MAINPID=${program.pid}`);
  await heard('WATCHDOG=1');
  messages.length = 0;
  program.signal('SIGUSR2');
  await heard('RELOADING=1');
  await heard('READY=1');
  program.signal('SIGTERM');
  await heard('STOPPING=1');
  await heard('EXTEND_TIMEOUT_USEC=80000000');
  t.is((await program.exited).exitCode, 0);
});

test('sockets that systemd has opened belong to the binds with their addresses, or to those that name their number', async (t) => {
  const directory = await directoryOf(t);
  await using server = await testServer(echo);
  const [first, second] = [await freePort(), await freePort()];
  const [path, name] = [join(directory, 'socket'), `picogate-test-${first}`];
  const file = join(directory, 'given.cfg');
  const binds = [`127.0.0.1:${first}`, `unix@${path}`, `abns@${name}`, 'fd@6'].map((address) => `  bind ${address}\n`).join('');
  await writeFile(file, `${defaults}listen l\n${binds}  server s 127.0.0.1:${server.port}\n`);
  const given = [`127.0.0.1:${first}`, path, `@${name}`, `127.0.0.1:${second}`].flatMap((address) => ['-l', address]);
  const program = await startDaemon(['systemd-socket-activate', ...given, programPath, '-db', '-f', file], {stdio: ['ignore', 'ignore', 'pipe']});
  t.teardown(() => program[Symbol.asyncDispose]());
  await until(() =>
    echoOnce({port: first}).then(
      () => true,
      () => false,
    ),
  );
  for (const where of [{port: second}, {path}, {path: `\0${name}`}]) await echoOnce(where);
  program.child.kill('SIGTERM');
  t.is((await program.exited).exitCode, 0);
  // It is not ours to remove.
  await access(path);
});

rootTest('a configuration without apps runs without root, and without what only apps need', async (t) => {
  const directory = await directoryOf(t);
  await chmod(directory, 0o755);
  await using server = await testServer(echo);
  const port = await freePort();
  const file = join(directory, 'plain.cfg');
  await writeFile(file, `global\n  state-dir ${directory}/none\n${defaults}listen l\n  bind 127.0.0.1:${port}\n  server s 127.0.0.1:${server.port}\n`);
  const running = runProgram(['-db', '-f', file], {
    prefix: ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--pdeathsig', 'KILL', 'env', 'PATH=/usr/bin:/bin', 'timeout', '-s', 'TERM', '3'],
  });
  await until(() =>
    echoOnce({port}).then(
      () => true,
      () => false,
    ),
  );
  t.is((await running).exitCode, 124, 'timeout(1) has ended it');
  await t.throwsAsync(access(join(directory, 'none')), {code: 'ENOENT'});
});

test('several files and a directory make one configuration', async (t) => {
  const directory = await directoryOf(t);
  await writeFile(join(directory, '1.cfg'), defaults);
  await writeFile(join(directory, '2.cfg'), 'listen l\n  bind 127.0.0.1:1\n  server s 127.0.0.1:1\n');
  const names = ['1.cfg', '2.cfg'].flatMap((name) => ['-f', join(directory, name)]);
  t.is((await runProgram(['-c', ...names])).exitCode, 0);
  t.is((await runProgram(['-c', '-f', directory])).exitCode, 0);
  t.is((await runProgram(['-c', '-C', directory, '--', '1.cfg', '2.cfg'])).exitCode, 0);
});

test('-cc evaluates a condition', async (t) => {
  t.is((await runProgram(['-cc', 'feature(PICOGATE)'])).exitCode, 0);
  t.is((await runProgram(['-cc', 'streq(a,b)'])).exitCode, 1);
  const wrong = await runProgram(['-cc', 'nonsense(']);
  t.is(wrong.exitCode, 2);
  t.regex(wrong.stderr, /Failed to evaluate condition: /);
});

test('the stats sockets and the pid file of the configuration, also after a reload', async (t) => {
  await using server = await testServer(echo);
  const port = await freePort();
  const directory = await directoryOf(t);
  const sections = (socket: string, level: string): string => `listen l
  bind 127.0.0.1:${port}
  server s1 127.0.0.1:${server.port} weight 7
global
  stats socket ${join(directory, socket)} mode 600 level ${level}
  stats timeout 2s
  pidfile ${join(directory, 'pid')}
  description of the test
`;
  const program = await dropInProgram(t, sections('first', 'operator'));
  const ask = (socket: string, text: string): Promise<string> => askSocket(join(directory, socket), `${text}\n`);
  t.is(await ask('first', 'show cli level'), 'operator\n\n');
  t.regex(await ask('first', 'show info'), /^description: of the test$/m);
  t.is(Number(await readFile(join(directory, 'pid'), 'utf8')), program.pid);
  await echoOnce({port});
  const row = (await ask('first', 'show stat')).split('\n').find((line) => line.startsWith('l,FRONTEND,'));
  t.like(row?.split(','), {4: '0', 7: '1', 8: '6', 9: '6', 17: 'OPEN'});
  t.is(await ask('first', 'get weight l/s1'), '7 (initial 7)\n\n');
  await program.configure(sections('second', 'user'));
  t.is(await program.ask('reload'), 'Success=1\n\n');
  t.is(await ask('second', 'show cli level'), 'user\n\n');
  await t.throwsAsync(ask('first', 'show cli level'), {code: 'ENOENT'});
  t.regex(await ask('second', 'show cli sockets'), new RegExp(`^unix@${directory}/second user all$`, 'm'));
});

test('a descriptor that was inherited is listened on, and goes on through a reload', async (t) => {
  await using server = await testServer(echo);
  const inherited = createServer().listen(0, '127.0.0.1');
  await once(inherited, 'listening');
  const address = inherited.address();
  if (address === null || typeof address !== 'object') throw new Error('no address');
  const handle: unknown = '_handle' in inherited ? inherited._handle : null;
  if (typeof handle !== 'object' || handle === null || !('fd' in handle) || typeof handle.fd !== 'number') throw new Error('no descriptor');
  const program = await dropInProgram(t, `listen l\n  bind fd@3\n  server s1 127.0.0.1:${server.port}\n`, {inherit: [handle.fd]});
  inherited.close();
  await echoOnce({port: address.port});
  t.is(await program.ask('reload'), 'Success=1\n\n');
  await echoOnce({port: address.port});
});

rootTest('user and group: the process gives up the rights of root once everything is open, and goes on serving', async (t) => {
  await using server = await testServer(echo);
  const port = await freePort();
  const program = await dropInProgram(t, `global\n  user nobody\n  group nogroup\nlisten l\n  bind 127.0.0.1:${port}\n  server s 127.0.0.1:${server.port}\n`);
  const status = await readFile(`/proc/${program.pid}/status`, 'latin1');
  t.regex(status, /^Uid:\t65534\t65534\t65534/m);
  t.regex(status, /^Gid:\t65534\t65534\t65534/m);
  t.regex(status, /^Groups:\t65534 ?$/m);
  using client = await testClient(port);
  client.socket.end('hello');
  t.is(await client.ended, 'hello');
});
