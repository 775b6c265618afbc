/** `ulimit-n` and `unix-bind`: the same configuration for Debian's HAProxy and our program. */
import {existsSync} from 'node:fs';
import {readFile, stat, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {startDaemon} from '../../src/core/command.ts';
import {askSocket} from '../admin/stats-client.ts';
import {programPath} from '../helpers/gateway.ts';
import {startPair} from '../helpers/program-pair.ts';
import {runProgram} from '../helpers/run-program.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const configuration = `
global
  stats socket \${DIR}/admin.sock mode 640 level admin
  unix-bind prefix \${DIR}/socket- mode 604 uid ${process.getuid?.() ?? 0}
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend web
  bind 127.0.0.1:\${WEB}
  bind unix@one
  bind unix@two mode 620
  http-request return status 200
`;

async function permissions(file: string): Promise<string> {
  return ((await stat(file)).mode & 0o777).toString(8);
}

async function openFilesOf(pid: number): Promise<string | undefined> {
  return /^Max open files\s+(\d+)/m.exec(await readFile(`/proc/${pid}/limits`, 'utf8'))?.[1];
}

/** Its limit of descriptors when it was started with a hard limit of 1000, or that it ended since it could not have as many. */
async function limitWith(program: string, count: number): Promise<string | undefined> {
  await using directory = await temporaryDirectory();
  const [file, socket] = [join(directory.path, 'a.cfg'), join(directory.path, 'a.sock')];
  await writeFile(file, `global\n  ulimit-n ${count}\n  stats socket ${socket} level admin\n`);
  await using daemon = await startDaemon(['prlimit', '--nofile=1000:1000', program, '-db', '-f', file], {stdio: ['ignore', 'ignore', 'pipe']});
  const pidOf = async (): Promise<string | undefined> => /^Pid: (\d+)$/m.exec(await askSocket(socket, 'show info\n').catch(() => ''))?.[1];
  const ended = daemon.exited.then(({stderr}) => (new RegExp(`${count} files|FD limit to ${count}`).test(stderr) ? 'refused' : stderr));
  const answers = until(async () => (await pidOf()) !== undefined, {timeoutMs: 20_000, what: program});
  const first = await Promise.race([ended, answers]);
  return typeof first === 'string' ? first : await openFilesOf(Number(await pidOf()));
}

pairTest('unix sockets of frontends have what they have in common', async (t) => {
  await using directory = await temporaryDirectory();
  await using pair = await startPair({configuration, ports: ['WEB'], values: {}, directory: directory.path});
  for (const twin of [pair.haproxy, pair.picogate]) {
    const modes = await Promise.all(['socket-one', 'socket-two', 'admin.sock'].map((name) => permissions(join(twin.directory, name)).catch(String)));
    t.deepEqual(modes, ['604', '620', '640'], twin.name);
  }
});

// Without CAP_SYS_RESOURCE not even root may raise it: then both say so and end.
pairTest('the limit of descriptors is raised where that is allowed, and never lowered', async (t) => {
  t.is(await limitWith(programPath, 1500), await limitWith('/usr/sbin/haproxy', 1500));
  for (const program of ['/usr/sbin/haproxy', programPath]) t.is(await limitWith(program, 900), '1000', program);
});

test('a limit that the system does not allow is an error that names both', async (t) => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'picogate.cfg');
  await writeFile(file, 'global\n  ulimit-n 2147483647\nlisten l\n  mode http\n  bind 127.0.0.1:1\n  timeout client 1s\n  http-request return status 200\n');
  const {exitCode, stderr} = await runProgram(['-db', '-f', file]);
  t.not(exitCode, 0);
  t.regex(stderr, /Cannot let this process open 2147483647 files, as ulimit-n says: the hard limit is \d+/);
});
