import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {startDaemon} from '../../src/core/command.ts';
import {findKeepers} from '../../src/pager/faults/parking.ts';
import {removePagerLeftovers} from '../../src/pager/leftovers.ts';
import {rootTest} from '../helpers/root-test.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {crcOf, FaultingApp, faultLab, first, killPager} from './fault-lab.ts';

const crcs = (page: number, count: number): number[] => Array.from({length: count}, (_, n) => crcOf(page + n));
const zeros = (count: number): number[] => Array.from({length: count}, () => 0);

rootTest('kill -9 of the pager while threads fault: another one goes on, and every page is right', async (t) => {
  await using lab = await faultLab();
  const {instance, app} = await lab.wake({generation: await lab.generation(8192), count: 8192});
  const pages = Array.from({length: 8192}, (_, n) => first + ((n * 3079) % 8192));
  app.send(['readThreads', pages, 8]);
  const answer = app.answer();
  await until(async () => (await lab.pager.stats(instance)).faults > 200, {intervalMs: 1, what: 'faults'});
  await killPager(lab);
  t.deepEqual(await answer, pages.map(crcOf));
  t.deepEqual(lab.lost, []);
  t.false((await lab.pager.stats(instance)).complete);
});

rootTest('a pager that takes over knows what was dropped, moved and forked before', async (t) => {
  await using lab = await faultLab();
  const {app} = await lab.wake({generation: await lab.generation(256), count: 256});
  const away = first + 0x10000;
  t.deepEqual(await app.ask(['read', first, 16]), crcs(first, 16));
  await app.ask(['dontneed', first + 8, 16]);
  t.true(await app.ask(['remap', first + 64, 64, away]));
  const child = Number(await app.ask(['forkChild']));
  await app.ask(['dontneed', first + 32, 8]);
  await app.ask(['askChild', child, ['dontneed', away, 8]]);
  await killPager(lab);
  t.deepEqual(await app.ask(['read', first, 64]), [...crcs(first, 8), ...zeros(16), ...crcs(first + 24, 8), ...zeros(8), ...crcs(first + 40, 24)]);
  t.deepEqual(await app.ask(['read', away, 64]), crcs(first + 64, 64));
  await killPager(lab);
  t.deepEqual(await app.ask(['askChild', child, ['read', first, 64]]), [...crcs(first, 8), ...zeros(16), ...crcs(first + 24, 40)]);
  t.deepEqual(await app.ask(['askChild', child, ['read', away, 64]]), [...zeros(8), ...crcs(first + 72, 56)]);
  t.deepEqual(lab.lost, []);
});

rootTest('kill -9 during events, again and again: each page is what it must be', async (t) => {
  await using lab = await faultLab();
  const {app} = await lab.wake({generation: await lab.generation(4096), count: 4096});
  for (let round = 0; round < 5; round++) {
    const base = first + round * 512;
    for (let n = 0; n < 32; n++) app.send(['dontneed', base + n * 16, 8]);
    const answers = Array.from({length: 32}, async () => app.answer());
    await killPager(lab);
    t.deepEqual(await Promise.all(answers), zeros(32));
    const expected = Array.from({length: 512}, (_, n) => (n % 16 < 8 ? 0 : crcOf(base + n)));
    t.deepEqual(await app.ask(['read', base, 512]), expected);
  }
  t.deepEqual(lab.lost, []);
});

rootTest('a restore that had not finished when the pager was killed is lost, and said to be', async (t) => {
  await using lab = await faultLab();
  const generation = await lab.generation(16);
  await using directory = await temporaryDirectory();
  const instance = 'lab.99' as never;
  await lab.pager.prepareRestore({instance, app: 'lab', generation, mode: 'lazy', prefetch: 'off', workDir: directory.path});
  await killPager(lab);
  await until(() => lab.lost.length > 0, {what: 'the report'});
  t.like(lab.lost[0], {instance: 'lab.99'});
  t.regex(lab.lost[0]?.reason ?? '', /had not finished/);
  await lab.pager.release(instance);
  await until(() => findKeepers(lab.runtimeDir).length === 1, {what: 'only the spare keeper to be left'});
});

rootTest('a pager that is killed before it took the descriptors leaves faults unanswered, not zeros', async (t) => {
  await using lab = await faultLab();
  const generation = await lab.generation(16);
  await using directory = await temporaryDirectory();
  await lab.pager.prepareRestore({instance: 'lab.99' as never, app: 'lab', generation, mode: 'lazy', prefetch: 'off', workDir: directory.path});
  process.kill(lab.pager.pid, 'SIGSTOP');
  await using app = await FaultingApp.start(directory.path, 16);
  await killPager(lab);
  await until(() => lab.lost.length > 0, {what: 'the report'});
  app.send(['read', first, 16]);
  t.is(await Promise.race([app.answer(), new Promise((resolve) => setTimeout(resolve, 500, 'still waiting'))]), 'still waiting');
});

rootTest('when everything is killed, a fault stays unanswered until its process is killed too', async (t) => {
  await using scope = new AsyncDisposableStack();
  const {path} = scope.use(await temporaryDirectory());
  const runtimeDir = join(path, 'run');
  scope.defer(async () => removePagerLeftovers(runtimeDir));
  // A gateway of its own, so that it can be killed: it prepares a restore in `path/work` and then does nothing.
  const gateway = scope.use(await startDaemon([process.execPath, join(import.meta.dirname, 'doomed-gateway.ts'), path], {stdio: ['ignore', 'pipe', 'pipe']}));
  let said = '';
  gateway.child.stdout?.on('data', (data: Buffer) => {
    said += data.toString();
  });
  await until(() => said.includes('prepared'), {timeoutMs: 20_000, what: 'the gateway'});
  const app = scope.use(await FaultingApp.start(join(path, 'work'), 64));
  t.deepEqual(await app.ask(['read', first, 4]), crcs(first, 4));
  process.kill(gateway.pid, 'SIGKILL');
  const [, pagerPid] = /pager (\d+)/.exec(said) ?? [];
  await until(async () => (await state(Number(pagerPid))) === undefined, {what: 'the pager to die with its gateway'});
  app.send(['read', first + 60, 1]);
  const early = await Promise.race([app.answer(), new Promise((resolve) => setTimeout(resolve, 500, 'still waiting'))]);
  t.is(early, 'still waiting');
  await t.throwsAsync(removePagerLeftovers(runtimeDir, {timeoutMs: 100}), {code: 'ERR_STILL_USED'});
  await app[Symbol.asyncDispose]();
  await removePagerLeftovers(runtimeDir);
  t.deepEqual(findKeepers(runtimeDir), []);
});

/** The letter of a process's state; undefined when it is gone, or a zombie. */
async function state(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'latin1');
    const letter = text.slice(text.lastIndexOf(')') + 2)[0];
    return letter === 'Z' ? undefined : letter;
  } catch {
    return undefined;
  }
}

rootTest('a keeper that somebody kills is replaced, and the next pager finds all with the new one', async (t) => {
  await using lab = await faultLab();
  const {instance, app} = await lab.wake({generation: await lab.generation(64), count: 64});
  const before = findKeepers(lab.runtimeDir).map(({pid}) => pid);
  for (const pid of before) process.kill(pid, 'SIGKILL');
  await until(() => findKeepers(lab.runtimeDir).some(({pid}) => !before.includes(pid)), {timeoutMs: 15_000, what: 'another keeper'});
  await until(async () => {
    const record = await readFile(join(lab.runtimeDir, 'pager', 'instances', `${instance}.json`), 'utf8');
    return !before.some((pid) => record.includes(`"pid":${pid}`));
  });
  await killPager(lab);
  t.deepEqual(await app.ask(['read', first, 64]), crcs(first, 64));
});
