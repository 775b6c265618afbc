import {chmod, mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {criuCommand} from '../../src/core/tools.ts';

async function program(t: ExecutionContext): Promise<{directory: string; path: string}> {
  const directory = await mkdtemp(join(tmpdir(), 'picogate-tools-'));
  t.teardown(() => rm(directory, {recursive: true, force: true}));
  const path = join(directory, 'criu');
  await writeFile(path, '');
  await chmod(path, 0o755);
  return {directory, path};
}

test('criuCommand() prefers the configuration, then PICOGATE_CRIU, then the record, then PATH', async (t) => {
  const {directory, path} = await program(t);
  const other = await program(t);
  const env = {PICOGATE_TOOLS: directory, PICOGATE_CRIU: other.path, PATH: directory};
  t.deepEqual(criuCommand(path, {env}), [path]);
  t.deepEqual(criuCommand(null, {env}), [other.path]);
  await writeFile(join(directory, 'criu.json'), JSON.stringify({argv: [other.path, '--library-path', directory, path]}));
  t.deepEqual(criuCommand(null, {env: {...env, PICOGATE_CRIU: ''}}), [other.path, '--library-path', directory, path]);
  await rm(join(directory, 'criu.json'));
  t.deepEqual(criuCommand(null, {env: {...env, PICOGATE_CRIU: undefined}}), [path]);
});

test('criuCommand() passes over a record whose programs are gone', async (t) => {
  const {directory, path} = await program(t);
  await writeFile(join(directory, 'criu.json'), JSON.stringify({argv: [join(directory, 'gone'), '--library-path', directory, path]}));
  t.deepEqual(criuCommand(null, {env: {PICOGATE_TOOLS: directory, PATH: directory}}), [path]);
});

test('criuCommand() refuses a path that is no program and a record that is none', async (t) => {
  const {directory} = await program(t);
  const env = {PICOGATE_TOOLS: directory, PATH: ''};
  t.throws(() => criuCommand(join(directory, 'gone'), {env}), {code: 'ERR_NO_CRIU', message: /which the configuration names/});
  t.throws(() => criuCommand(null, {env: {...env, PICOGATE_CRIU: '/gone'}}), {code: 'ERR_NO_CRIU', message: /which PICOGATE_CRIU names/});
  for (const text of ['', '[]', '{"argv": []}', '{"argv": [1]}']) {
    await writeFile(join(directory, 'criu.json'), text);
    t.throws(() => criuCommand(null, {env}), {code: 'ERR_NO_CRIU', message: /run the set-up again/});
  }
});
