import test from 'ava';
import {systemClock} from '../../src/core/clock.ts';
import {createLog} from '../../src/core/log.ts';
import {openWorkers, type WorkerRecord} from '../../src/store/workers.ts';
import {Membership} from '../../src/supervisor/membership.ts';
import {until} from '../helpers/until.ts';
import {testRedis} from '../store/test-redis.ts';

function record(name: string): Omit<WorkerRecord, 'isStopping'> {
  return {name, address: '192.0.2.1', memoryBytes: 100, usedBytes: 10, appsMax: null, awake: 1, labels: {}, at: 1000};
}

test('another worker is late first, heard of again or not, and gone when its lease is over', async (t) => {
  await using redis = await testRedis();
  const workers = openWorkers(redis.connection);
  const leaseMs = 1500;
  const beat = (): Promise<void> => workers.beat({...record('other'), isStopping: false}, {identity: 'b', ttlMs: leaseMs});
  await beat();
  await using membership = await Membership.join({
    workers,
    record: () => record('own'),
    identity: 'a',
    leaseMs,
    clock: systemClock,
    log: createLog('silent'),
  });
  const told: string[] = [];
  membership.onSilent((worker, isSilent) => told.push(`${worker} ${isSilent ? 'late' : 'heard of'}`));
  membership.onGone((worker) => told.push(`${worker} gone`));
  await until(() => told.length === 1);
  await beat();
  await until(() => told.length === 4);
  t.deepEqual(told, ['other late', 'other heard of', 'other late', 'other gone']);
});
