import {mkdir, readdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {openContainers} from '../../src/supervisor/containers.ts';
import {expectProgram, expectUser, startSettings} from '../../src/supervisor/image-settings.ts';
import {rootTest} from '../helpers/root-test.ts';
import {appConfig, containerLab} from './container-lab.ts';

test('startSettings() takes what the app says, then what its image says', (t) => {
  const image = {entrypoint: ['/entry'], cmd: ['serve'], env: ['PATH=/opt/bin', 'MODE=image=x'], user: 'www-data', workingDir: '/srv'};
  const app = {root: {kind: 'image', name: 'wiki'}, exec: [], env: {}, user: null, workdir: null} as const;
  t.deepEqual(startSettings(app, image), {exec: ['/entry', 'serve'], env: {PATH: '/opt/bin', MODE: 'image=x'}, user: 'www-data', workdir: '/srv'});
  t.deepEqual(startSettings({...app, exec: ['/bin/sh'], env: {MODE: 'mine'}, user: '7', workdir: '/'}, image), {
    exec: ['/bin/sh'],
    env: {PATH: '/opt/bin', MODE: 'mine'},
    user: '7',
    workdir: '/',
  });
  t.like(startSettings(app, {...image, user: '', workingDir: ''}), {user: '0:0', workdir: '/'});
  t.throws(() => expectProgram(app, startSettings(app, undefined)), {code: 'ERR_NO_PROGRAM', message: /image "wiki" names no program/});
});

test('a command beside an app is nobody by guess where only the image could say who it is', (t) => {
  const app = {root: {kind: 'image', name: 'wiki'}, user: null} as const;
  t.throws(() => expectUser(app, {image: undefined, user: null}), {code: 'ERR_NO_USER', message: /image "wiki".*--user/});
  t.notThrows(() => expectUser(app, {image: undefined, user: '7'}));
  t.notThrows(() => expectUser({...app, user: '7'}, {image: undefined, user: null}));
  t.notThrows(() => expectUser({...app, root: {kind: 'directory', path: '/'}}, {image: undefined, user: null}));
});

rootTest('an image that may have been unmounted is asked for again at the next wake, and before that only once', async (t) => {
  await using lab = await containerLab();
  const asked: (string | null)[] = [];
  const mountImage = async ({digest}: {digest: string | null}) => {
    asked.push(digest);
    const path = join(lab.directory, `image-${asked.length}`);
    await mkdir(path);
    await writeFile(join(path, `file-${asked.length}`), '');
    return {path, digest: 'the digest'};
  };
  const runtimeDir = await lab.newDirectory('other-run');
  await using containers = await openContainers({identity: lab.identity, stateDir: join(lab.directory, 'other'), runtimeDir, mountImage, log: lab.log});
  await using container = containers.add(appConfig({root: {kind: 'image', name: 'x'}}), lab.netnsPath);
  const rootFiles = async (): Promise<string[]> => {
    const {rootDir} = await container.mountRoot([], 'one', {digest: 'the digest'});
    const files = await readdir(rootDir);
    await container.unmountRoot();
    return files.filter((name) => name.startsWith('file-'));
  };
  t.deepEqual(await rootFiles(), ['file-1']);
  t.deepEqual(await rootFiles(), ['file-1']);
  containers.forgetImages();
  t.is(container.rootImage?.digest, 'the digest');
  t.deepEqual(await rootFiles(), ['file-2']);
  t.deepEqual(asked, ['the digest', 'the digest']);
});
