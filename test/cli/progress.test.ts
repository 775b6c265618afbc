import {PassThrough} from 'node:stream';
import test from 'ava';
import {confirm} from '../../src/cli/confirm.ts';
import {progress, progressText} from '../../src/cli/progress.ts';
import {followUploads} from '../../src/cli/upload-progress.ts';
import {appName} from '../../src/core/ids.ts';
import {openPlacements} from '../../src/store/placements.ts';
import {until} from '../helpers/until.ts';
import {testRedis} from '../store/test-redis.ts';

const mebibyte = 1024 * 1024;

test('progressText() says how far the work is, how fast, and how long it will take', (t) => {
  const numbers = {doneBytes: 12 * mebibyte, totalBytes: 40 * mebibyte, bytesPerSecond: 4 * mebibyte, note: ''};
  t.is(progressText('import wiki', numbers), 'import wiki: 12.0 MiB of 40.0 MiB (30%), 4.0 MiB/s, 7 s left');
  t.is(progressText('x', {...numbers, totalBytes: null, note: '3 files'}), 'x: 12.0 MiB, 4.0 MiB/s, 3 files');
  t.is(progressText('x', {...numbers, bytesPerSecond: 0}), 'x: 12.0 MiB of 40.0 MiB (30%), 0 B/s');
  t.is(progressText('x', {...numbers, doneBytes: 40 * mebibyte, bytesPerSecond: null}), 'x: 40.0 MiB of 40.0 MiB (100%)');
});

function screen(isTTY: boolean): {shown: string; isTTY: boolean; columns: number; write(text: string): void} {
  return {
    shown: '',
    isTTY,
    columns: 60,
    write(text) {
      this.shown += text;
    },
  };
}

test('progress() renews its line on a terminal, and prints few lines elsewhere', (t) => {
  for (const isTTY of [true, false]) {
    const stream = screen(isTTY);
    let nowMs = 0;
    const shown = progress('import', 100 * mebibyte, {stream, nowMs: () => nowMs});
    for (; nowMs <= 25_000; nowMs += 50) shown.at((nowMs / 50) * 1024 * 100);
    shown[Symbol.dispose]();
    const lines = stream.shown.split(isTTY ? '\r\x1b[K' : '\n').filter((line) => line !== '');
    t.is(lines.length, isTTY ? 125 : 2);
    t.regex(lines.at(-1) ?? '', /^import: [\d.]+ MiB of 100.0 MiB \(\d+%\), 2\.0 MiB\/s, \d+ s left$/);
    t.is(stream.shown.endsWith('\r\x1b[K'), isTTY);
  }
});

test('confirm() wants a yes of a person', async (t) => {
  const answering = (answer: string) => ({yes: false, input: Object.assign(new PassThrough(), {isTTY: true}).end(answer), output: new PassThrough()});
  await t.notThrowsAsync(confirm('Remove it?', answering('y\n')));
  await t.notThrowsAsync(confirm('Remove it?', answering('YES\n')));
  for (const answer of ['n\n', '\n', 'yesterday\n', '']) await t.throwsAsync(confirm('Remove it?', answering(answer)), {code: 'ERR_NOT_CONFIRMED'});
  await t.throwsAsync(confirm('Remove it?', {yes: false, input: new PassThrough()}), {message: /no terminal; --yes/});
  await t.notThrowsAsync(confirm('Remove it?', {yes: true, input: new PassThrough()}));
});

test('the progress of uploads is of all apps together, and what was not known at first is added', async (t) => {
  await using redis = await testRedis();
  const placements = openPlacements(redis.connection);
  const [blog, wiki] = [appName('blog'), appName('wiki')];
  const seen: string[] = [];
  const totals: number[] = [];
  const line = {
    at: (doneBytes: number, note = '') => void seen.push(`${doneBytes} ${note}`),
    total: (bytes: number) => void totals.push(bytes),
    [Symbol.dispose]: () => undefined,
  };
  using _followed = followUploads(redis.connection, {title: 'drain w1', apps: [blog, wiki], line});
  const waits = async (app: typeof blog, pendingBytes: number): Promise<void> =>
    placements.write(app, {generation: 1, local: true, stored: pendingBytes === 0, pendingObjects: 1, pendingBytes, current: null, lastError: null});
  for (const [app, pendingBytes, said] of [
    [blog, 100, '0 1 of 2 apps wait'],
    [wiki, 50, '0 2 of 2 apps wait'],
    [blog, 20, '80 2 of 2 apps wait'],
    [wiki, 0, '130 1 of 2 apps wait'],
  ] as const) {
    await waits(app, pendingBytes);
    await until(() => seen.at(-1) === said, {what: said});
  }
  t.is(totals.at(-1), 150);
});
