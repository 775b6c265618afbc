import {existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync} from 'node:fs';
import type {ExecutionContext} from 'ava';
import {appName} from '../../src/core/ids.ts';
import {savedClocks} from '../../src/supervisor/app-clock.ts';
import type {BegunRestore} from '../../src/supervisor/begun-restore.ts';
import {mountsBelow} from '../../src/supervisor/mounts.ts';
import {rootsYardOf} from '../../src/supervisor/roots-yard.ts';
import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';
import {type ContainerLab, containerLab, lineServer} from './container-lab.ts';

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').filter(Boolean).map(Number);
}

function criuOf(pid: number): number {
  const found = childrenOf(pid).find((child) => existsSync(`/proc/${child}/exe`) && readlinkSync(`/proc/${child}/exe`).includes('criu'));
  if (found === undefined) throw new Error('no CRIU');
  return found;
}

interface Begun {
  readonly restore: BegunRestore;
  readonly criu: number;
  /** What CRIU has made in /tmp. */
  readonly yard: string;
}

/** A restore that waits, before CRIU has made anything. */
async function beginOutside(lab: ContainerLab): Promise<{restore: BegunRestore; criu: number; imagesDir: string}> {
  const container = await lab.container({exec: ['/usr/bin/python3', '-u', '-c', lineServer]});
  const {pid} = await container.start([], 'layer1');
  await until(async () => (await container.output()).includes('listening'));
  const imagesDir = await lab.newDirectory('images');
  const target = container.restoreTarget();
  await lab.criu.checkpoint({pid, dumpDir: imagesDir, workDir: imagesDir, target, decide: () => Promise.resolve('commit')});
  await container.kill();
  await container.unmountRoot();
  const restore = await lab.criu.beginRestore({imagesDir, workDir: imagesDir, target, lazy: false});
  await container.mountRoot(['layer1'], 'layer2');
  return {restore, criu: criuOf(process.pid), imagesDir};
}

/** As far as it goes while the app sleeps. */
async function begin(t: ExecutionContext, lab: ContainerLab): Promise<Begun> {
  const {restore, criu, imagesDir} = await beginOutside(lab);
  await restore.makeNamespaces((await savedClocks(imagesDir)) ?? {monotonic: 0n, boottime: 0n});
  const yard = rootsYardOf(childrenOf(criu)[0] ?? 0);
  if (yard === null) throw new Error('CRIU has made no directory');
  t.true(existsSync(yard));
  return {restore, criu, yard};
}

rootTest('of a CRIU that is killed while its restore waits nothing is left in /tmp, and of another one all is', async (t) => {
  await using lab = await containerLab();
  const foreign = mkdtempSync('/tmp/.criu.mntns.');
  t.teardown(() => rmSync(foreign, {recursive: true}));
  const {restore, criu, yard} = await begin(t, lab);
  process.kill(criu, 'SIGKILL');
  await restore.ended;
  t.true(existsSync(yard), 'CRIU does not remove it then');
  await restore[Symbol.asyncDispose]();
  t.deepEqual([existsSync(yard), existsSync(foreign)], [false, true]);
});

rootTest('of a CRIU that is killed at the end of a restore nothing is left in /tmp', async (t) => {
  await using lab = await containerLab();
  const {restore, criu, yard} = await begin(t, lab);
  const mayRun = Promise.withResolvers<undefined>();
  const finished = restore.finish({signal: new AbortController().signal, mayRun: mayRun.promise});
  process.kill(criu, 'SIGKILL');
  await t.throwsAsync(finished, {code: 'ERR_RESTORE'});
  await restore[Symbol.asyncDispose]();
  t.false(existsSync(yard));
});

rootTest('of a restore that is given up at its end nothing is left in /tmp', async (t) => {
  await using lab = await containerLab();
  const {restore, yard} = await begin(t, lab);
  const end = new AbortController();
  const mayRun = Promise.withResolvers<undefined>();
  const finished = restore.finish({signal: end.signal, mayRun: mayRun.promise});
  setTimeout(() => end.abort(new Error('given up')), 20);
  await t.throwsAsync(finished, {message: 'given up'});
  await restore[Symbol.asyncDispose]();
  t.false(existsSync(yard));
});

rootTest('of a restore that is given up as soon as CRIU has begun nothing is left in /tmp', async (t) => {
  await using lab = await containerLab();
  const {restore} = await beginOutside(lab);
  const before = new Set(readdirSync('/tmp'));
  const made = (): string | undefined => readdirSync('/tmp').find((name) => name.startsWith('.criu.mntns.') && !before.has(name));
  const end = new AbortController();
  const finished = restore.finish({signal: end.signal, mayRun: Promise.resolve()});
  await until(() => made() !== undefined, {intervalMs: 0, what: 'a directory of CRIU'});
  const name = made();
  end.abort(new Error('given up'));
  await t.throwsAsync(finished, {message: 'given up'});
  await restore[Symbol.asyncDispose]();
  // Should it be that of another restore of this host, that one ends too.
  await until(() => !existsSync(`/tmp/${name}`), {what: 'the end of the directory'});
  t.pass();
});

rootTest('a CRIU that waits while its app sleeps keeps no mount of another app, and the host keeps them all', async (t) => {
  await using lab = await containerLab();
  const other = await lab.container({name: appName('other')});
  await other.mountRoot([], 'layer1');
  const {restore, criu} = await begin(t, lab);
  const here = (pid: number | 'self'): string[] =>
    mountsBelow(lab.containers.directory, pid)
      .map(({mountPoint}) => mountPoint)
      .filter((mountPoint) => mountPoint !== lab.containers.directory);
  t.deepEqual(here(childrenOf(criu)[0] ?? 0), []);
  t.true(here('self').some((mountPoint) => mountPoint.endsWith('/other/root')));
  t.true(here('self').some((mountPoint) => mountPoint.endsWith('/app/root')));
  const {pid} = await restore.finish({signal: new AbortController().signal, mayRun: Promise.resolve()});
  t.true(existsSync(`/proc/${pid}`));
  await restore.ended;
  t.true(here('self').some((mountPoint) => mountPoint.endsWith('/other/root')));
});
