import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {renderDiagnostic} from '../../src/config/diagnostic.ts';
import {loadConfig} from '../../src/config/load.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const app = (name: string): string => `app ${name}\n    rootfs .\n    exec /x\n    expose tcp 80\n`;

async function directory(files: Readonly<Record<string, string>>): Promise<{path: string} & AsyncDisposable> {
  const made = await temporaryDirectory();
  for (const [name, text] of Object.entries(files)) await writeFile(join(made.path, name), text);
  return made;
}

test('loadConfig() reads the *.cfg of a directory in the order of their names', async (t) => {
  await using made = await directory({'20-b.cfg': app('b'), '10-a.cfg': app('a'), '.hidden.cfg': 'nonsense\n', 'note.txt': 'nonsense\n'});
  const {config, diagnostics} = await loadConfig([made.path], {env: {}});
  t.deepEqual(diagnostics, []);
  t.deepEqual(
    config?.apps.map(({name}) => String(name)),
    ['a', 'b'],
  );
  t.deepEqual(config?.files, [join(made.path, '10-a.cfg'), join(made.path, '20-b.cfg')]);
});

test('loadConfig() makes one configuration of several files; defaults go on, sections do not', async (t) => {
  await using made = await directory({'a.cfg': `defaults\n    hibernate-after 7s\n${app('a')}`, 'b.cfg': `    memory 1g\n${app('b')}`});
  const paths = ['a.cfg', 'b.cfg'].map((name) => join(made.path, name));
  const {diagnostics} = await loadConfig(paths, {env: {}});
  t.deepEqual(
    diagnostics.map(({message}) => message),
    ["unknown keyword 'memory' out of section"],
  );
  await writeFile(paths[1] ?? '', app('b'));
  const {config} = await loadConfig(paths, {env: {}});
  t.is(config?.apps[1]?.hibernateAfterMs, 7000);
});

test('loadConfig() names a file that is not there, and reads the others', async (t) => {
  await using made = await directory({'a.cfg': 'app a\n    rotfs /\n    exec /x\n'});
  const {config, diagnostics} = await loadConfig([join(made.path, 'none.cfg'), join(made.path, 'a.cfg')], {env: {}});
  t.is(config, null);
  t.is(diagnostics.length, 2);
  t.regex(diagnostics[0]?.message ?? '', /^Cannot read configuration ".*none\.cfg": no such file or directory$/);
});

test('loadConfig() refuses a directory without configuration files', async (t) => {
  await using made = await directory({});
  const {config, diagnostics} = await loadConfig([made.path], {env: {}});
  t.is(config, null);
  t.regex(diagnostics[0]?.message ?? '', /no file that ends in \.cfg/);
});

test('loadConfig() takes relative paths from the directory of the file', async (t) => {
  await using made = await directory({'a.cfg': 'app a\n    rootfs images/a\n    exec /x\n    volume data:/data\nglobal\n    state-dir state\n'});
  await mkdir(join(made.path, 'images/a'), {recursive: true});
  await mkdir(join(made.path, 'data'));
  const {config, diagnostics} = await loadConfig([join(made.path, 'a.cfg')], {env: {}});
  t.deepEqual(diagnostics, []);
  t.deepEqual(config?.apps[0]?.root, {kind: 'directory', path: join(made.path, 'images/a')});
  t.is(config?.apps[0]?.volumes[0]?.source, join(made.path, 'data'));
  t.is(config?.global.stateDir, join(made.path, 'state'));
  t.deepEqual(config?.global.store, {kind: 'directory', path: join(made.path, 'state/store')});
});

test('loadConfig() freezes the whole value', async (t) => {
  await using made = await directory({'a.cfg': `${app('a')}listen l\n    bind :80\n    server s app:a:80\n`});
  const {config} = await loadConfig([join(made.path, 'a.cfg')], {env: {}});
  const unfrozen: string[] = [];
  const visit = (value: unknown, path: string): void => {
    if (typeof value !== 'object' || value === null) return;
    if (!Object.isFrozen(value)) unfrozen.push(path);
    for (const [key, part] of Object.entries(value)) visit(part, `${path}.${key}`);
  };
  t.truthy(config);
  visit(config, 'config');
  t.deepEqual(unfrozen, []);
});

test('loadConfig() shares what sections have in common, and nothing else', async (t) => {
  await using made = await directory({'a.cfg': `${app('a')}    env X=1\n${app('b')}    env X=1\n${app('c')}    env X=2\n`});
  const {config} = await loadConfig([made.path], {env: {}});
  const [a, b, c] = config?.apps ?? [];
  t.is(a?.expose, b?.expose);
  t.is(a?.env, b?.env);
  t.is(b?.expose, c?.expose);
  t.deepEqual([b?.env, c?.env], [{X: '1'}, {X: '2'}]);
});

test('loadConfig() passes a byte order mark over', async (t) => {
  await using made = await directory({'a.cfg': `\ufeff${app('a')}`});
  t.truthy((await loadConfig([join(made.path, 'a.cfg')], {env: {}})).config);
});

test('loadConfig() keeps environment variables with the names of built-in properties', async (t) => {
  await using made = await directory({'a.cfg': `${app('a')}    env __proto__ x\n    env constructor y\n`});
  const {config} = await loadConfig([join(made.path, 'a.cfg')], {env: {}});
  t.deepEqual(Object.entries(config?.apps[0]?.env ?? {}), [
    ['__proto__', 'x'],
    ['constructor', 'y'],
  ]);
});

test('renderDiagnostic() prints as HAProxy does, with the column', (t) => {
  const position = {file: 'a.cfg', line: 3, column: 5};
  t.is(renderDiagnostic({level: 'alert', position, message: 'm'}, 12), '[ALERT]    (12) : config : parsing [a.cfg:3:5] : m');
  t.is(renderDiagnostic({level: 'warning', position, message: 'm'}, 12), '[WARNING]  (12) : config : parsing [a.cfg:3:5] : m');
});
