import {existsSync, readdirSync} from 'node:fs';
import {mkdir, readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {CodedError} from '../../src/core/errors.ts';
import {appName} from '../../src/core/ids.ts';
import {openContainers, removeContainerLeftovers} from '../../src/supervisor/containers.ts';
import {describeExit} from '../../src/supervisor/exit-status.ts';
import {mountsBelow} from '../../src/supervisor/mounts.ts';
import {ask, lineClient} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';
import {containerLab, lineServer, noImages} from './container-lab.ts';

const python = (...program: readonly string[]): readonly string[] => ['/usr/bin/python3', '-u', '-c', ...program];
const sleeper = 'import time; time.sleep(3600)';

rootTest('start() runs a program in a root of its own, and its output is kept', async (t) => {
  await using lab = await containerLab();
  const container = await lab.container({exec: python(lineServer)});
  const {pid} = await container.start([], 'one');
  await until(async () => (await container.output()).includes('listening'));
  t.is(await ask(7000, 'write kept').catch(() => 'refused'), 'refused', 'the namespace is not the host');
  t.deepEqual(container.processes(), [{pid, vpid: 1}]);
  t.true(container.alive());
  t.is(await container.freezeLayer('one'), 'changed');
  t.deepEqual(await container.usedLayers(['one']), ['one']);
  await container.kill();
  t.false(container.alive());
  await container.unmountRoot();
});

rootTest('start() hands environment, user, working directory, volume and limits to the program', async (t) => {
  await using lab = await containerLab();
  const shared = await lab.newDirectory('shared');
  await writeFile(join(shared, 'file'), 'from outside');
  const program = `
import os
print(os.environ['GREETING'], os.environ['HOME'], os.getuid(), os.getgid(), os.getgroups(), os.getcwd(), open('/mnt/file').read())
try: open('/mnt/file', 'w')
except OSError as error: print(error.strerror)
print(sorted(os.listdir('/dev')), os.readlink('/dev/shm'), oct(os.stat('/dev/shm/').st_mode), os.uname().nodename)
print([line.split()[1] for line in open('/proc/self/mounts')][:3])
${sleeper}`;
  const container = await lab.container({
    exec: python(program),
    env: {GREETING: 'hello'},
    user: '1234:567',
    workdir: '/tmp',
    volumes: [{source: shared, destination: '/mnt', readOnly: true}],
    memoryBytes: 64 * 1024 * 1024,
    pidsMax: 20,
    cpus: 0.5,
  });
  await container.start([], 'one');
  await until(async () => (await container.output()).split('\n').length > 4);
  const lines = (await container.output()).split('\n');
  t.is(lines[0], 'hello / 1234 567 [] /tmp from outside');
  t.is(lines[1], 'Read-only file system');
  t.is(lines[2], "['fd', 'full', 'null', 'random', 'shm', 'stderr', 'stdin', 'stdout', 'tty', 'urandom', 'zero'] /.shm 0o41777 app");
  t.is(lines[3], "['/', '/proc', '/dev']");
});

rootTest('a program that takes more memory than its limit is killed, and its end is told', async (t) => {
  await using lab = await containerLab();
  const container = await lab.container({exec: python(`import time; time.sleep(0.2)\ndata = b'x' * (200 << 20)\n${sleeper}`), memoryBytes: 64 << 20});
  const ends: string[] = [];
  container.onExit((how) => ends.push(describeExit(how)));
  await container.start([], 'one');
  await until(() => ends.length > 0);
  t.deepEqual(ends, ['was killed by SIGKILL']);
});

rootTest('the end of a program is told with its status', async (t) => {
  await using lab = await containerLab();
  const container = await lab.container({exec: python(lineServer)});
  const ends: string[] = [];
  container.onExit((how) => ends.push(describeExit(how)));
  await container.start([], 'one');
  await until(async () => (await container.output()).includes('listening'));
  using client = await lineClient(7000, {host: lab.address});
  client.socket.write('exit 7\n');
  await until(() => ends.length > 0);
  t.deepEqual(ends, ['ended with status 7']);
});

rootTest('start() tells what is wrong with a program that cannot run, and leaves nothing behind', async (t) => {
  await using lab = await containerLab();
  // A script whose interpreter is missing fails only when it is executed.
  const script = await lab.newDirectory('script');
  await writeFile(join(script, 'run'), '#!/no/interpreter\n', {mode: 0o755});
  const cases = [
    {exec: ['/bin/does-not-exist'], expected: /does-not-exist.*no such file/},
    {exec: ['not-on-path'], expected: /not-on-path.*not found/},
    {exec: ['/etc/hosts'], expected: /hosts.*permission denied/},
    {exec: ['/bin/sh', '-c', 'echo no database >&2; exit 3'], expected: /ended with status 3 at once; its last output: no database/},
    {exec: ['/mnt/run'], volumes: [{source: script, destination: '/mnt', readOnly: true}], expected: /run.*(no such file|ended with status)/},
    {exec: python(sleeper), user: 'nobody-here', expected: /Cannot find user "nobody-here": not in \/etc\/passwd/},
  ];
  for (const [index, {expected, ...settings}] of cases.entries()) {
    t.log(settings.exec.join(' '));
    const container = await lab.container({...settings, name: appName(`app${index}`)});
    const error = await t.throwsAsync(container.start([], 'one'), {instanceOf: CodedError});
    t.regex(error.message, /^Cannot start app "app\d": /);
    t.regex(error.message, expected);
    t.false(container.alive());
    t.is(mountsBelow(join(lab.containers.directory, `app${index}`)).length, 0);
  }
});

rootTest('a later start sees what was written before, through any number of layers', async (t) => {
  await using lab = await containerLab();
  const container = await lab.container({
    exec: python(`import os\nprint(open('/data').read() if os.path.exists('/data') else 'none')\nopen('/data', 'a').write('x')\n${sleeper}`),
  });
  // Absolute paths of these would not fit into the options of mount(2).
  const layers = Array.from({length: 100}, (_, index) => `empty-${index}`);
  for (const layer of layers) await mkdir(join(container.layersDir, layer, 'upper'), {recursive: true});
  for (const layer of ['first', 'second', 'third']) {
    await container.start(layers, layer);
    await until(async () => (await readFile(join(container.layersDir, layer, 'upper', 'data'), 'utf8').catch(() => '')).endsWith('x'));
    await container.kill();
    await container.unmountRoot();
    layers.push(layer);
  }
  t.deepEqual((await container.output()).trim().split('\n'), ['none', 'x', 'xx']);
  t.is(await readFile(join(container.layersDir, 'first', 'upper', 'data'), 'utf8'), 'x', 'a frozen layer stays as it was');
  t.deepEqual(await container.usedLayers(layers), ['first', 'second', 'third']);
});

rootTest('the log is bounded, and its newest part is kept', async (t) => {
  await using lab = await containerLab();
  const container = await lab.container({exec: python(`for number in range(20000): print('line', number)\nprint('end')\n${sleeper}`), logBytes: 20_000});
  await container.start([], 'one');
  await until(async () => (await container.output()).endsWith('end\n'));
  const output = await container.output();
  t.true(output.length <= 20_000 && output.length >= 10_000, `${output.length}`);
  t.regex(container.logTail(), /line 19999\nend$/);
});

rootTest('removeContainerLeftovers() ends what a killed gateway left', async (t) => {
  await using lab = await containerLab();
  const container = await lab.container({exec: python(`import os\nfor _ in range(3): os.fork()\n${sleeper}`)});
  const {pid} = await container.start([], 'one');
  await until(() => container.pids().length === 8);
  await removeContainerLeftovers(lab);
  t.is(container.pids().length, 0);
  await until(() => !existsSync(`/proc/${pid}/root/dev`));
  t.deepEqual(mountsBelow(lab.runtimeDir), []);
  for (const name of readdirSync('/sys/fs/cgroup')) t.false(existsSync(join('/sys/fs/cgroup', name, 'picogate', lab.identity)), name);
  // The next gateway starts in the same place.
  await using again = await openContainers({
    identity: lab.identity,
    stateDir: join(lab.directory, 'state'),
    runtimeDir: lab.runtimeDir,
    mountImage: noImages,
    log: lab.log,
  });
  t.truthy(again.directory);
});

rootTest('root of a container is refused what reaches beyond it', async (t) => {
  await using lab = await containerLab();
  const program = `
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, call):
    ctypes.set_errno(0)
    try: result = call()
    except OSError as error: return print(name, error.strerror)
    print(name, os.strerror(ctypes.get_errno()) if result == -1 else 'allowed')
attempt('mount', lambda: libc.mount(b'x', b'/tmp', b'tmpfs', 0, None))
attempt('unshare', lambda: libc.unshare(0x10000000))
attempt('clone', lambda: libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0))
attempt('clone3', lambda: libc.syscall(435, 0, 0))
attempt('io_uring', lambda: libc.syscall(425, 8, 0))
attempt('ptrace', lambda: libc.ptrace(0, 0, 0, 0))
attempt('keyctl', lambda: libc.syscall(250, 0, -3, 0))
attempt('device', lambda: os.mknod('/device', 0o020666, os.makedev(1, 3)))
attempt('raw socket', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 6))
attempt('sysctl', lambda: open('/proc/sys/kernel/core_pattern', 'w'))
attempt('keys', lambda: open('/proc/keys').read() and None)
${sleeper}`;
  const container = await lab.container({exec: python(program)});
  await container.start([], 'one');
  await until(async () => (await container.output()).includes('keys '));
  t.deepEqual((await container.output()).trim().split('\n'), [
    'mount Operation not permitted',
    'unshare Operation not permitted',
    'clone Operation not permitted',
    'clone3 Function not implemented',
    'io_uring Function not implemented',
    'ptrace Operation not permitted',
    'keyctl Operation not permitted',
    'device Operation not permitted',
    'raw socket Operation not permitted',
    'sysctl Read-only file system',
    'keys allowed',
  ]);
});
