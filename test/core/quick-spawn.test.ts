/** Programs that are started without a fork: what they are given, and what is heard of their end. */
import {readFileSync} from 'node:fs';
import {Socket} from 'node:net';
import test from 'ava';
import {collect, keptOutputBytes} from '../../src/core/command.ts';
import {close, pipe} from '../../src/core/libc.ts';
import {quickSpawn} from '../../src/core/quick-spawn.ts';

/** Runs a script of sh to its end; what it writes to descriptor 3. */
async function output(script: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
  const [ours, theirs] = pipe();
  const said = collect(new Socket({fd: ours, readable: true, writable: false}), keptOutputBytes);
  const child = quickSpawn(['sh', '-c', script], {descriptors: [null, null, null, theirs], env, cwd: '/proc'});
  close(theirs);
  const [text] = await Promise.all([said, child.ended]);
  return text;
}

test('a child has the descriptors, the environment and the directory that it is given, and a session of its own', async (t) => {
  const said = await output(
    'files=$(readlink /proc/$$/fd/0 /proc/$$/fd/1); echo "$files" >&3; echo "$GREETING $LC_ALL" >&3; pwd >&3; cut -d" " -f6 /proc/$$/stat >&3; echo $$ >&3; files=$(ls /proc/$$/fd); echo "$files" >&3',
    {
      GREETING: 'hello',
    },
  );
  const [input, own, greeting, directory, session, pid, ...descriptors] = said.trim().split('\n');
  t.deepEqual([input, own, greeting, directory], ['/dev/null', '/dev/null', 'hello C', '/proc']);
  t.is(session, pid);
  t.deepEqual(
    descriptors.map(Number).filter((number) => number < 4),
    [0, 1, 2, 3],
  );
});

test('descriptors may change places', async (t) => {
  const [firstRead, first] = pipe();
  const [secondRead, second] = pipe();
  const texts = [firstRead, secondRead].map(async (fd) => collect(new Socket({fd, readable: true, writable: false}), keptOutputBytes));
  // Each gets the number of the other.
  const descriptors = Array.from({length: Math.max(first, second) + 1}, (_, number) => (number === first ? second : number === second ? first : null));
  const child = quickSpawn(['bash', '-c', `echo first >&${first}; echo second >&${second}`], {descriptors, env: process.env});
  close(first);
  close(second);
  t.deepEqual(await child.ended, {exitCode: 0, signal: null});
  t.deepEqual(await Promise.all(texts), ['second\n', 'first\n']);
});

test('the end of a child is told, by status and by signal, also of one that ends at once; none is left as a zombie', async (t) => {
  const spawn = (script: string) => quickSpawn(['sh', '-c', script], {descriptors: [null, null, null], env: process.env});
  const quick = spawn('exit 3');
  t.deepEqual(await quick.ended, {exitCode: 3, signal: null});
  t.false(quick.isRunning);
  const slow = spawn('kill -TERM $$');
  t.deepEqual(await slow.ended, {exitCode: null, signal: 'SIGTERM'});
  const long = spawn('exec sleep 1000');
  t.true(long.isRunning);
  process.kill(long.pid, 'SIGKILL');
  t.deepEqual(await long.ended, {exitCode: null, signal: 'SIGKILL'});
  t.throws(() => readFileSync(`/proc/${long.pid}/stat`), {code: 'ENOENT'});
});

test('a program that is not there is told at once', (t) => {
  const error = t.throws(() => quickSpawn(['/nonexistent/program'], {descriptors: [null, null, null], env: process.env}));
  t.like(error, {code: 'ERR_COMMAND_MISSING', message: 'Cannot run "/nonexistent/program": ENOENT'});
});
