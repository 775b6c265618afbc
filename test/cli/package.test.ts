/** What `npm pack` makes runs compiled, without the sources. */
import {readdir, symlink} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test from 'ava';
import {version} from '../../src/cli/version.ts';
import {run} from '../../src/core/command.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const clone = fileURLToPath(new URL('../..', import.meta.url));
const timeoutMs = 90_000;

test('the package of npm runs without the sources', async (t) => {
  t.timeout(2 * timeoutMs);
  await using directory = await temporaryDirectory();
  await run(['npm', 'pack', '--silent', '--pack-destination', directory.path], {timeoutMs, cwd: clone});
  await run(['tar', '-xzf', `picogate-${version}.tgz`], {timeoutMs, cwd: directory.path});
  const unpacked = join(directory.path, 'package');
  const files = await readdir(unpacked, {recursive: true});
  await symlink(join(clone, 'node_modules'), join(unpacked, 'node_modules'));
  t.deepEqual(
    files.filter((file) => file.endsWith('.ts') || file.startsWith('test/')),
    [],
  );
  // What is read beside the code is there, and no other file is left out.
  const sources = (await readdir(join(clone, 'src'), {recursive: true, withFileTypes: true})).filter((entry) => entry.isFile());
  const expected = sources.map(({parentPath, name}) => join('dist/src', parentPath.slice(join(clone, 'src').length), name.replace(/\.ts$/, '.js')));
  t.deepEqual(
    expected.filter((file) => !files.includes(file)),
    [],
  );

  const picogate = (...args: readonly string[]): Promise<{stdout: string}> =>
    run([join(unpacked, 'bin/picogate'), ...args], {timeoutMs, cwd: unpacked, env: {...process.env, PICOGATE_ROOTFS: directory.path}});
  t.is((await picogate('--version')).stdout, `${version}\n`);
  t.regex((await picogate('check', '-f', 'config/minimal.cfg')).stdout, /valid/);
  t.regex((await picogate('install', '--dry-run', '--prefix', directory.path)).stdout, /picogate-edge\.socket/);
});
