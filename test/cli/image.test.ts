/** `picogate image`, without a gateway: what is interrupted or killed harms nothing, and goes. */
import {mkdtemp, readdir, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test from 'ava';
import {run, startDaemon} from '../../src/core/command.ts';
import {programPath} from '../helpers/gateway.ts';
import {archiveOf, ociFiles, tarOf} from '../helpers/image-archives.ts';
import {until} from '../helpers/until.ts';

test('an import that is interrupted or killed is invisible; gc removes what it left, verify and show tell of the rest', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'picogate-image-'));
  t.teardown(() => rm(directory, {recursive: true, force: true}));
  const config = join(directory, 'picogate.cfg');
  await writeFile(config, `global\n    state-dir ${directory}/state\n    dynamic-apps\n`);
  const cli = async (...args: readonly string[]): Promise<string> => (await run([programPath, 'image', ...args, '-f', config], {timeoutMs: 30_000})).stdout;
  const image = {layers: [{tar: tarOf([{name: 'bin/wiki', content: 'wiki', mode: 0o755}])}], config: {Entrypoint: ['/bin/wiki'], ExposedPorts: {'80/tcp': {}}}};
  // As of `docker save | picogate image import wiki -`.
  await run([programPath, 'image', 'import', 'wiki', '-', '-f', config], {timeoutMs: 30_000, input: archiveOf(ociFiles([image]))});
  t.deepEqual(await readdir(join(directory, 'state', 'imports')), []);
  t.regex(await cli('show', 'wiki'), /^entrypoint +\["\/bin\/wiki"\]\n(?:.*\n)*expose +tcp 80$/m);

  // Large enough to be in the middle of.
  const large = join(directory, 'directory');
  await run(['sh', '-c', 'mkdir "$1" && head -c 20m /dev/urandom > "$1/a" && truncate -s 8g "$1/b"', 'sh', large], {timeoutMs: 30_000});
  const objects = async (kind: string): Promise<readonly string[]> => readdir(join(directory, 'state', 'store', 'images', kind)).catch(() => []);
  const packsBefore = (await objects('packs')).length;
  for (const signal of ['SIGINT', 'SIGKILL'] as const) {
    await using importing = await startDaemon([programPath, 'image', 'import', 'large', large, '-f', config], {stdio: ['ignore', 'ignore', 'pipe']});
    await until(async () => (await objects('packs')).length > packsBefore + (signal === 'SIGINT' ? 0 : 2), {timeoutMs: 30_000, what: 'packs'});
    process.kill(importing.pid, signal);
    const {exitCode, stderr} = await importing.exited;
    t.is(exitCode, signal === 'SIGINT' ? 130 : null);
    if (signal === 'SIGINT') t.regex(stderr, /interrupted by SIGINT; nothing was changed/);
    t.is((await objects('imports')).length, signal === 'SIGINT' ? 0 : 1);
    t.deepEqual(
      (JSON.parse(await cli('list', '--json')) as {name: string}[]).map(({name}) => name),
      ['wiki'],
    );
  }
  const left = (await objects('packs')).length - packsBefore;
  t.regex(await cli('gc', '--dry-run'), new RegExp(`^would remove 0 images and ${left} packs`));
  t.is((await objects('packs')).length, packsBefore + left);
  t.regex(await cli('gc'), new RegExp(`^removed 0 images and ${left} packs`));
  t.is((await objects('packs')).length, packsBefore);
  t.regex(await cli('verify'), /^1 images, 1 chunks, .*: nothing is damaged\n$/);
  const other = join(directory, 'other.cfg');
  await writeFile(other, `global\n    state-dir ${directory}/other\n    stats socket ${directory}/other.sock\n`);
  const adding = run([programPath, 'app', 'add', 'wiki', '--image', 'wiki', '-f', other], {timeoutMs: 30_000});
  await t.throwsAsync(adding, {message: /put "dynamic-apps" into section "global"/});
  await cli('rm', 'wiki');
  t.deepEqual(JSON.parse(await cli('list', '--json')), []);
});
