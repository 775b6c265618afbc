import {mkdir, readFile, writeFile} from 'node:fs/promises';
import {totalmem} from 'node:os';
import {dirname, join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {Cgroup} from '../../src/supervisor/cgroup.ts';
import {type CgroupMounts, findCgroupMounts} from '../../src/supervisor/cgroup-mounts.ts';
import {memoryTotal} from '../../src/supervisor/memory-total.ts';
import {rootTest} from '../helpers/root-test.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

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

/** A host as its hierarchies look: files in a directory, and the mounts that would be there. */
interface Host {
  readonly mounts: CgroupMounts;
  readonly read: (file: string) => Promise<string>;
}

async function host(t: ExecutionContext, hierarchies: Readonly<Record<string, string>>, files: Readonly<Record<string, string>>): Promise<Host> {
  const {path, [Symbol.asyncDispose]: dispose} = await temporaryDirectory();
  t.teardown(dispose);
  for (const [file, text] of Object.entries(files)) {
    await mkdir(dirname(join(path, file)), {recursive: true});
    await writeFile(join(path, file), text);
  }
  const lines = Object.entries(hierarchies).map(([name, type], at) => `${30 + at} 25 0:${26 + at} / ${join(path, name)} rw - ${type}`);
  return {mounts: findCgroupMounts(lines.join('\n'), '1:cpuset:/\n0::/\n'), read: (file) => readFile(join(path, file), 'utf8')};
}

/** What the kernel shows of a group in version 2. */
const group2 = {
  'u/p/a/memory.current': '10000000\n',
  'u/p/a/memory.stat': 'anon 6000000\nfile 4000000\ninactive_anon 1\nactive_file 1000000\ninactive_file 3000000\n',
  'u/p/a/memory.max': 'max\n',
  'u/p/a/cpu.max': 'max 100000\n',
  'u/p/a/cpu.stat': 'usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n',
};

/** And in version 1, whose counters are of the groups below, too, where `total_` or `hierarchical_` stands before them. */
const group1 = {
  'memory/p/a/memory.usage_in_bytes': '10000000\n',
  'memory/p/a/memory.stat': 'cache 4000000\ninactive_file 1\nactive_file 1\nhierarchical_memory_limit 9223372036854771712\ntotal_inactive_file 3000000\n',
  'memory/p/a/memory.limit_in_bytes': '',
  'pids/p/a/pids.max': '',
};
const limits = {memoryBytes: 1 << 20, cpus: 0.5, pidsMax: null};

function readings(group: Cgroup): readonly (number | null)[] {
  return [group.memoryBytes(), group.cpuUsedUs()];
}

test('version 2: limits and readings are those of one hierarchy; of its controllers those that are there are handed down', async (t) => {
  const above = {'u/memory.max': '5000000\n', 'u/cgroup.controllers': 'cpuset cpu io memory\n', 'u/cgroup.subtree_control': '', 'u/p/cgroup.controllers': '\n'};
  const {mounts: found, read} = await host(t, {u: 'cgroup2 cgroup2 rw'}, {...group2, ...above});
  t.true(found.unifiedLimits);
  const group = new Cgroup(found, 'p/a');
  group.create();
  t.is(await read('u/cgroup.subtree_control'), '+memory +cpu');
  group.limit(limits);
  t.deepEqual([await read('u/p/a/memory.max'), await read('u/p/a/cpu.max')], ['1048576', '50000 100000']);
  t.throws(() => group.limit({...limits, pidsMax: 10}), {code: 'ERR_CGROUP', message: /Cannot set pids\.max .* to 10/});
  t.deepEqual(readings(group), [7_000_000, 1500]);
  t.is(await memoryTotal(found, 'p'), 5_000_000);
});

test('version 1: each controller has a hierarchy of its own, or shares one', async (t) => {
  const cpu = {'cpu,cpuacct/p/a/cpuacct.usage': '1500000\n', 'cpu,cpuacct/p/a/cpu.cfs_quota_us': '-1\n'};
  const hierarchies = {memory: 'cgroup cgroup rw,memory', 'cpu,cpuacct': 'cgroup cgroup rw,cpu,cpuacct', pids: 'cgroup cgroup rw,pids'};
  const {mounts: found, read} = await host(t, {...hierarchies, cpuset: 'cgroup cgroup rw,cpuset'}, {...group1, ...cpu});
  t.false(found.unifiedLimits);
  t.is(found.unused.length, 1);
  const group = new Cgroup(found, 'p/a');
  group.create();
  const ofMemory = async (): Promise<string> => read('memory/p/a/memory.limit_in_bytes');
  await group.admit(1001, {...limits, pidsMax: 10});
  t.is(await ofMemory(), String(65 << 20));
  t.deepEqual([await read('cpu,cpuacct/p/a/cpu.cfs_quota_us'), await read('pids/p/a/pids.max')], ['50000', '42']);
  await group.admit(1002, limits);
  group.left(1001, limits);
  group.limit(limits);
  t.is(await ofMemory(), String(65 << 20), 'another CRIU is at work');
  group.left(1002, limits);
  // A file of the kernel has no rest of what was written before.
  t.regex(await ofMemory(), new RegExp(`^${1 << 20}`));
  t.deepEqual(readings(group), [7_000_000, 1500]);
  const separate = {...hierarchies, 'cpu,cpuacct': 'cgroup cgroup rw,cpu', count: 'cgroup cgroup rw,cpuacct'};
  const other = await host(t, separate, {...group1, 'count/p/a/cpuacct.usage': '2500000\n'});
  t.deepEqual(readings(new Cgroup(other.mounts, 'p/a')), [7_000_000, 2500]);
});

test('version 1 beside version 2: the first limits, the second counts processor time; what is not there is not known', async (t) => {
  const hierarchies = {u: 'cgroup2 cgroup2 rw', memory: 'cgroup cgroup rw,memory', cpuacct: 'cgroup cgroup rw,cpuacct'};
  const {mounts: found} = await host(t, hierarchies, {...group1, ...group2, 'cpuacct/p/a/cpuacct.usage': '1\n'});
  const group = new Cgroup(found, 'p/a');
  t.deepEqual(readings(group), [7_000_000, 1500]);
  t.throws(() => group.limit(limits), {code: 'ERR_CGROUP', message: /cpu\.cfs_quota_us .*this host has no such controller/});
  t.deepEqual(readings(new Cgroup(found, 'p/b')), [null, null]);
  t.throws(() => findCgroupMounts('30 25 0:26 / /x rw - tmpfs tmpfs rw'), {code: 'ERR_NO_CGROUPS'});
});
