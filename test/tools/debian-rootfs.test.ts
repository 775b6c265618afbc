import {mkdtemp, rm, stat} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import test from 'ava';
import {run} from '../../src/core/command.ts';
import {parsePrintedUris} from '../../tools/debian-packages.ts';
import {buildRootfs, sharedRootfs} from '../../tools/debian-rootfs.ts';

const rootTest = process.getuid?.() === 0 ? test : test.skip;

const programs = [
  {packageName: 'nginx-light', argv: ['nginx', '-v'], says: /nginx version/},
  {packageName: 'redis-server', argv: ['redis-server', '--version'], says: /Redis server/},
  {packageName: 'dnsmasq-base', argv: ['dnsmasq', '--version'], says: /Dnsmasq version/},
  {packageName: 'openssh-server', argv: ['/usr/sbin/sshd', '-t', '-h', '/nonexistent'], says: /hostkeys/i},
  {packageName: 'python3', argv: ['python3', '-c', 'import ctypes, mmap; print(ctypes.sizeof(ctypes.c_void_p))'], says: /^8/},
  {packageName: 'nodejs', argv: ['nodejs', '--version'], says: /^v\d+/},
];

for (const {packageName, argv, says} of programs) {
  rootTest(`sharedRootfs() gives a root in which ${packageName} runs`, async (t) => {
    t.timeout(300_000);
    const root = await sharedRootfs({packages: [packageName]});
    t.is(await sharedRootfs({packages: [packageName]}), root);
    // Whether it succeeds is not the question (sshd has no key): that it starts and speaks is.
    const shell = 'chroot "$@" 2>&1 || true';
    const {stdout} = await run(['sh', '-c', shell, 'sh', root, ...argv], {
      timeoutMs: 20_000,
      env: {PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'},
    });
    t.regex(stdout, says);
  });
}

rootTest('buildRootfs() makes a private copy and refuses a directory that exists', async (t) => {
  t.timeout(300_000);
  const parent = await mkdtemp(join(tmpdir(), 'picogate-rootfs-'));
  t.teardown(() => rm(parent, {recursive: true, force: true}));
  const directory = join(parent, 'copy');
  await buildRootfs({directory, packages: ['nginx-light']});
  t.is((await stat(join(directory, 'tmp'))).mode & 0o7777, 0o1777);
  t.true((await stat(join(directory, 'bin/sh'))).isFile());
  await t.throwsAsync(buildRootfs({directory, packages: ['nginx-light']}), {code: 'ERR_EXISTS'});
});

test('parsePrintedUris() takes names and sizes', (t) => {
  const text = "Reading package lists...\n'http://m/pool/z/zlib1g_1.2%2bb_amd64.deb' zlib1g_1%3a1.2_amd64.deb 86684 MD5Sum:00\n";
  t.deepEqual(parsePrintedUris(text), [{name: 'zlib1g_1%3a1.2_amd64.deb', sizeBytes: 86684}]);
});
