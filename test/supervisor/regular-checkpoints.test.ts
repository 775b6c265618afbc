import test from 'ava';
import {appName} from '../../src/core/ids.ts';
import {createLog} from '../../src/core/log.ts';
import {RegularCheckpoints} from '../../src/supervisor/regular-checkpoints.ts';
import {FakeClock} from '../edge/pool/fake-clock.ts';

const app = appName('a');
const everyMs = 60_000;

interface Scene extends Disposable {
  readonly clock: FakeClock;
  readonly regular: RegularCheckpoints;
  readonly story: string[];
  /** What is to fail, in this order; then nothing fails. */
  readonly failures: string[];
}

/** An app that runs. */
function scene(): Scene {
  const clock = new FakeClock();
  const story: string[] = [];
  const failures: string[] = [];
  const attempt = (what: string): Promise<void> => {
    story.push(what);
    if (failures[0] !== what) return Promise.resolve();
    failures.shift();
    return Promise.reject(new Error(`no ${what}`));
  };
  const regular = new RegularCheckpoints({
    everyMs: () => everyMs,
    checkpoint: async () => {
      await attempt('checkpoint');
      regular.awakeChanged(app, false);
    },
    wake: async () => {
      await attempt('wake');
      regular.awakeChanged(app, true);
    },
    clock,
    log: createLog('silent'),
  });
  regular.awakeChanged(app, true);
  return {clock, regular, story, failures, [Symbol.dispose]: () => regular[Symbol.dispose]()};
}

test('an app that is awake sleeps and wakes each time', async (t) => {
  using it = scene();
  await it.clock.advance(everyMs * 2.5);
  t.deepEqual(it.story, ['checkpoint', 'wake', 'checkpoint', 'wake']);
});

test('a checkpoint that fails is tried again after the same time', async (t) => {
  using it = scene();
  it.failures.push('checkpoint');
  await it.clock.advance(everyMs * 2.5);
  t.deepEqual(it.story, ['checkpoint', 'checkpoint', 'wake']);
});

test('a wake that fails is tried again, later each time, and the next checkpoint comes after it has succeeded', async (t) => {
  using it = scene();
  it.failures.push('wake', 'wake', 'wake');
  await it.clock.advance(everyMs);
  t.deepEqual(it.story, ['checkpoint', 'wake']);
  await it.clock.advance(30_000);
  t.deepEqual(it.story, ['checkpoint', 'wake', 'wake', 'wake', 'wake']);
  await it.clock.advance(everyMs);
  t.is(it.story.length, 7);
});

test('an app that somebody else has woken meanwhile is left alone, and so are all after the end', async (t) => {
  using it = scene();
  it.failures.push('wake', 'wake');
  await it.clock.advance(everyMs);
  it.regular.awakeChanged(app, true);
  await it.clock.advance(everyMs - 1000);
  t.deepEqual(it.story, ['checkpoint', 'wake']);
  await it.clock.advance(1000);
  t.deepEqual(it.story, ['checkpoint', 'wake', 'checkpoint', 'wake']);
  it.regular[Symbol.dispose]();
  await it.clock.advance(everyMs);
  t.is(it.story.length, 4);
  t.is(it.clock.pending, 0);
});
