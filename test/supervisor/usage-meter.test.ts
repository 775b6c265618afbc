import test from 'ava';
import {pino} from 'pino';
import {appName} from '../../src/core/ids.ts';
import type {Events} from '../../src/store/events.ts';
import {bytesPerGb, type UsageBatch} from '../../src/store/usage.ts';
import {UsageMeter} from '../../src/supervisor/usage-meter.ts';
import {FakeClock} from '../edge/pool/fake-clock.ts';

const blog = appName('blog');

interface Lab {
  readonly clock: FakeClock;
  readonly meter: UsageMeter;
  readonly batches: UsageBatch[];
  gigabytes: number | null;
  failures: number;
  pass(seconds: number): Promise<void>;
}

/** All that waits for nothing but other promises is done. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function lab(): Lab {
  const clock = new FakeClock();
  const made: Lab = {
    clock,
    batches: [],
    gigabytes: 1,
    failures: 0,
    async pass(seconds) {
      await clock.advance(seconds * 1000);
      await settled();
    },
    meter: new UsageMeter({
      worker: 'w',
      usage: {
        async add(_app, batch) {
          if (made.failures-- > 0) throw new Error('Redis is away');
          made.batches.push(batch);
          return Promise.resolve();
        },
        apps: () => Promise.resolve([]),
        read: () => Promise.reject(new Error('not asked')),
        totals: () => Promise.resolve([]),
      },
      memoryBytes: async () => Promise.resolve(made.gigabytes === null ? null : made.gigabytes * bytesPerGb),
      storedBytes: async () => Promise.resolve(77),
      clock,
      log: pino({level: 'silent'}),
    }),
  };
  return made;
}

const sum = (batches: readonly UsageBatch[]): number => batches.reduce((all, {activeGbSeconds}) => all + activeGbSeconds, 0);

test('memory is integrated while an app is awake, with its last part when it falls asleep, and then no timer runs', async (t) => {
  const made = lab();
  const {clock, meter, batches} = made;
  meter.awakeChanged(blog, true);
  await settled();
  await made.pass(62);
  t.true(Math.abs(sum(batches) - 60) <= 15);
  meter.awakeChanged(blog, false);
  await settled();
  t.is(sum(batches), 62);
  await made.pass(60);
  t.is(sum(batches), 62);
  t.is(clock.pending, 0);
});

test('growth is counted as the mean of two looks, and what has ended as it was before', async (t) => {
  const made = lab();
  made.gigabytes = 0;
  made.meter.awakeChanged(blog, true);
  await settled();
  made.gigabytes = 2;
  await made.pass(5);
  made.gigabytes = null;
  await made.pass(4);
  made.gigabytes = 0;
  made.meter.awakeChanged(blog, false);
  await settled();
  t.is(sum(made.batches), 5 + 8);
});

test('while Redis is away the sums are kept, and the batch that may have arrived is sent again as it was', async (t) => {
  const made = lab();
  made.meter.awakeChanged(blog, true);
  await settled();
  made.failures = 3;
  await made.pass(100);
  made.meter.awakeChanged(blog, false);
  await settled();
  t.is(sum(made.batches), 100);
  t.is(new Set(made.batches.map(({id}) => id)).size, made.batches.length);
});

test('wakes are counted by their events, what is stored when it changes, and the rest is told at the end', async (t) => {
  const made = lab();
  const published: string[] = [];
  const events: Events = {
    publish: async ({kind}) => {
      published.push(kind);
      return Promise.resolve();
    },
    last: () => Promise.resolve([]),
    follow: () => {
      throw new Error('not asked');
    },
  };
  const counting = made.meter.counting(events);
  for (const kind of ['woken', 'hibernated', 'woken']) await counting.publish({at: 1, app: blog, kind});
  t.deepEqual(published, ['woken', 'hibernated', 'woken']);
  made.meter.storedChanged(blog);
  await settled();
  t.like(made.batches[0], {wakes: 2, storedBytes: 77});
  await counting.publish({at: 1, app: blog, kind: 'woken'});
  await made.meter[Symbol.asyncDispose]();
  t.like(made.batches[1], {wakes: 1, storedBytes: null});
  t.is(made.clock.pending, 0);
});
