/**
 * Small root file systems for apps, unpacked from Debian packages. No maintainer script runs: `finish` does what theirs
 * would have done for the programs we use. Built once per list of packages and kept in the tools directory.
 */
import {createHash} from 'node:crypto';
import {chmod, copyFile, mkdir, readdir, rename, rm, stat, symlink, writeFile} from 'node:fs/promises';
import {basename, dirname, join, resolve} from 'node:path';
import {run} from '../src/core/command.ts';
import {CodedError} from '../src/core/errors.ts';
import {mknod} from '../src/core/libc.ts';
import {toolsDirectory} from '../src/core/tools.ts';
import {downloadPackages} from './debian-packages.ts';
import {lockFile} from './file-lock.ts';

/** Grows when the same packages give another tree. */
const layoutVersion = 2;
const basePackages = ['dash', 'libc-bin'];
const buildTimeoutMs = 10 * 60_000;
const commandTimeoutMs = 2 * 60_000;
const characterDevice = 0o020000;

export interface RootfsOptions {
  readonly packages: readonly string[];
  /** Default: that of this machine's set-up. */
  readonly tools?: string;
}

/**
 * The path of a root file system with these packages, built when it is not there yet. It is shared: use it read-only
 * (as the lower layer of an overlay), or see `buildRootfs`. Needs root, as the files belong to root.
 */
export async function sharedRootfs(options: RootfsOptions): Promise<string> {
  const tools = resolve(options.tools ?? toolsDirectory());
  const packages = [...new Set([...basePackages, ...options.packages])].toSorted();
  const hash = createHash('sha256')
    .update(JSON.stringify([layoutVersion, process.arch, packages]))
    .digest('hex')
    .slice(0, 12);
  const directory = join(tools, 'rootfs', `${options.packages.join('+').replaceAll('/', '-')}-${hash}`);
  if (await exists(directory)) return directory;
  if (process.getuid?.() !== 0) throw new CodedError('ERR_NOT_ROOT', `Cannot build root file system "${directory}": needs root`, {source: 'host'});
  await using _lock = await lockFile(join(tools, 'rootfs.lock'), {timeoutMs: buildTimeoutMs});
  if (await exists(directory)) return directory;
  await removeUnfinished(dirname(directory));
  const building = join(dirname(directory), `building-${hash}`);
  await unpack(await downloadPackages(packages, tools), building);
  await finish(building);
  await rename(building, directory);
  return directory;
}

/** A private copy of `sharedRootfs(options)` at `directory`, which must not exist yet. */
export async function buildRootfs(options: RootfsOptions & {readonly directory: string}): Promise<void> {
  if (await exists(options.directory)) throw new CodedError('ERR_EXISTS', `Cannot build root file system "${options.directory}": it exists`, {source: 'host'});
  const shared = await sharedRootfs(options);
  const copying = `${options.directory}.copying-${process.pid}`;
  await mkdir(dirname(resolve(options.directory)), {recursive: true});
  try {
    await run(['cp', '-a', '--reflink=auto', shared, copying], {timeoutMs: commandTimeoutMs});
    await rename(copying, options.directory);
  } finally {
    await rm(copying, {recursive: true, force: true});
  }
}

/** What a build that was killed left behind; the caller holds the lock, so nobody is building. */
async function removeUnfinished(directory: string): Promise<void> {
  await mkdir(directory, {recursive: true});
  for (const name of await readdir(directory)) {
    if (basename(name).startsWith('building-')) await rm(join(directory, name), {recursive: true, force: true});
  }
}

async function unpack(packageFiles: readonly string[], directory: string): Promise<void> {
  // Merged /usr: the links come first, and what a package ships in /bin lands behind them.
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    await mkdir(join(directory, 'usr', name), {recursive: true});
    await symlink(`usr/${name}`, join(directory, name));
  }
  for (const file of packageFiles) await run(['dpkg', '-x', file, directory], {timeoutMs: commandTimeoutMs});
}

const accounts = [
  {name: 'root', id: 0, home: '/root', shell: '/bin/sh'},
  {name: 'daemon', id: 1, home: '/usr/sbin', shell: '/usr/sbin/nologin'},
  {name: 'www-data', id: 33, home: '/var/www', shell: '/usr/sbin/nologin'},
  {name: '_apt', id: 42, home: '/nonexistent', shell: '/usr/sbin/nologin'},
  {name: 'sshd', id: 101, home: '/run/sshd', shell: '/usr/sbin/nologin'},
  {name: 'redis', id: 102, home: '/var/lib/redis', shell: '/usr/sbin/nologin'},
  {name: 'dnsmasq', id: 103, home: '/var/lib/misc', shell: '/usr/sbin/nologin'},
  {name: 'nobody', id: 65534, home: '/nonexistent', shell: '/usr/sbin/nologin'},
] as const;

const directories = {
  dev: 0o755,
  etc: 0o755,
  home: 0o755,
  mnt: 0o755,
  proc: 0o555,
  root: 0o700,
  run: 0o755,
  'run/lock': 0o1777,
  'run/sshd': 0o755,
  srv: 0o755,
  sys: 0o555,
  tmp: 0o1777,
  'var/cache': 0o755,
  'var/lib': 0o755,
  'var/lib/misc': 0o755,
  'var/lib/redis': 0o755,
  'var/log': 0o755,
  'var/tmp': 0o1777,
  'var/www': 0o755,
} as const;

/** Configuration that a maintainer script copies into place. */
const copiedConfiguration = [{from: 'usr/share/openssh/sshd_config', to: 'etc/ssh/sshd_config'}] as const;

const devices = [
  {name: 'null', minor: 3},
  {name: 'zero', minor: 5},
  {name: 'full', minor: 7},
  {name: 'random', minor: 8},
  {name: 'urandom', minor: 9},
] as const;

async function finish(root: string): Promise<void> {
  for (const [name, mode] of Object.entries(directories)) {
    await mkdir(join(root, name), {recursive: true});
    await chmod(join(root, name), mode); // mkdir's own mode is cut by the umask
  }
  for (const [link, target] of [
    ['var/run', '/run'],
    ['var/lock', '/run/lock'],
  ] as const) {
    await rm(join(root, link), {recursive: true, force: true});
    await symlink(target, join(root, link));
  }
  for (const {name, minor} of devices) {
    mknod(join(root, 'dev', name), characterDevice | 0o666, 1, minor);
    await chmod(join(root, 'dev', name), 0o666);
  }
  const groupOf = (name: string): string => (name === 'nobody' ? 'nogroup' : name);
  const files = {
    passwd: accounts.map(({name, id, home, shell}) => `${name}:x:${id}:${id}:${name}:${home}:${shell}\n`).join(''),
    group: accounts.map(({name, id}) => `${groupOf(name)}:x:${id}:\n`).join(''),
    hosts: '127.0.0.1 localhost\n::1 localhost ip6-localhost\n',
    hostname: 'picogate\n',
    'nsswitch.conf': 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n',
    'resolv.conf': '',
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(root, 'etc', name), text, {mode: 0o644});
  await writeFile(join(root, 'etc/shadow'), accounts.map(({name}) => `${name}:*:19000:0:99999:7:::\n`).join(''), {mode: 0o600});
  for (const {from, to} of copiedConfiguration) {
    if (await exists(join(root, from))) await copyFile(join(root, from), join(root, to));
  }
  await run(['/sbin/ldconfig', '-r', root], {timeoutMs: commandTimeoutMs});
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

if (import.meta.main) {
  const [directory, ...packages] = process.argv.slice(2);
  if (directory === undefined || packages.length === 0) {
    process.stderr.write('usage: node tools/debian-rootfs.ts DIRECTORY PACKAGE...\n');
    process.exitCode = 2;
  } else {
    await buildRootfs({directory, packages});
  }
}
