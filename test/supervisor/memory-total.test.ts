import {totalmem} from 'node:os';
import test from 'ava';
import {Cgroup} from '../../src/supervisor/cgroup.ts';
import {findCgroupMounts} from '../../src/supervisor/cgroup-mounts.ts';
import {memoryTotal} from '../../src/supervisor/memory-total.ts';
import {rootTest} from '../helpers/root-test.ts';

const mounts = findCgroupMounts();

test('memoryTotal() is at most what the host has', async (t) => {
  const total = await memoryTotal(mounts, 'picogate/nobody');
  t.true(total > 0 && total <= totalmem());
});

rootTest('memoryTotal() is what a group above has, if that is less', async (t) => {
  const above = new Cgroup(mounts, `picogate-test-${process.pid}`);
  above.create();
  t.teardown(() => above.remove());
  const limitBytes = 64 * 1024 * 1024;
  above.limit({memoryBytes: limitBytes, cpus: null, pidsMax: null});
  t.is(await memoryTotal(mounts, `${above.path}/gateway`), limitBytes);
  t.is(await memoryTotal(mounts, above.path), limitBytes);
});
