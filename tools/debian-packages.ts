/**
 * Downloads Debian packages with all they depend on, whatever is installed on this machine: apt runs with a private,
 * empty status file and a cache of its own, and with this machine's sources and keys. Nothing is installed.
 */
import {mkdir, stat, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {CommandError, type RunResult, run} from '../src/core/command.ts';
import {CodedError} from '../src/core/errors.ts';
import {lockFile} from './file-lock.ts';

const downloadTimeoutMs = 10 * 60_000;
/** Packages of other publishers may carry the same names; what Debian itself publishes wins, even when older. */
const preferences = 'Package: *\nPin: release o=Debian\nPin-Priority: 1001\n';

/** @returns the paths of the .deb files, inside `cacheDirectory`, which several processes may share */
export async function downloadPackages(packages: readonly string[], cacheDirectory: string): Promise<string[]> {
  const apt = join(cacheDirectory, 'apt');
  await using _lock = await lockFile(join(cacheDirectory, 'apt.lock'), {timeoutMs: downloadTimeoutMs});
  await mkdir(join(apt, 'archives/partial'), {recursive: true});
  await mkdir(join(apt, 'empty/archives/partial'), {recursive: true});
  await mkdir(join(apt, 'preferences.d'), {recursive: true});
  await mkdir(join(apt, 'lists/partial'), {recursive: true});
  await writeFile(join(apt, 'status'), '');
  await writeFile(join(apt, 'preferences'), preferences);
  try {
    return await downloadWith(apt, packages, []);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    // The machine's lists are missing, or name files that the mirror has replaced since.
    const privateLists = ['-o', `Dir::State::lists=${join(apt, 'lists')}`];
    await aptGet(apt, [...privateLists, 'update']);
    return await downloadWith(apt, packages, privateLists);
  }
}

async function downloadWith(apt: string, packages: readonly string[], lists: readonly string[]): Promise<string[]> {
  const install = ['install', '-y', '--download-only', ...packages];
  // With an empty archive directory --print-uris names every file; with the real one only those not yet there.
  const {stdout} = await aptGet(apt, [...lists, '-o', `Dir::Cache::archives=${join(apt, 'empty/archives')}`, '--print-uris', ...install]);
  const files = parsePrintedUris(stdout).map(({name, sizeBytes}) => ({path: join(apt, 'archives', name), sizeBytes}));
  if (files.length === 0)
    throw new CodedError('ERR_NO_PACKAGE', `Cannot download Debian packages "${packages.join(' ')}": apt names no files`, {source: 'host'});
  const sizes = await Promise.all(files.map(({path}) => sizeOf(path)));
  if (files.some(({sizeBytes}, index) => sizes[index] !== sizeBytes)) await aptGet(apt, [...lists, ...install]);
  return files.map(({path}) => path);
}

/** Lines of the form `'URI' NAME SIZE HASH`. */
export function parsePrintedUris(text: string): {name: string; sizeBytes: number}[] {
  return Array.from(text.matchAll(/^'[^']+' (\S+\.deb) (\d+)/gm), ([, name = '', size = '']) => ({name, sizeBytes: Number(size)}));
}

async function aptGet(apt: string, rest: readonly string[]): Promise<RunResult> {
  const options = {
    'Dir::State::status': join(apt, 'status'),
    'Dir::Cache': apt,
    'Dir::Cache::archives': join(apt, 'archives'),
    'Dir::Cache::pkgcache': '',
    'Dir::Cache::srcpkgcache': '',
    'Dir::Etc::preferences': join(apt, 'preferences'),
    'Dir::Etc::preferencesparts': join(apt, 'preferences.d'),
    'APT::Sandbox::User': 'root',
    'APT::Install-Recommends': 'false',
    'Acquire::Retries': '3',
  };
  const flags = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  return run(['apt-get', '-q', '-q', ...flags, ...rest], {timeoutMs: downloadTimeoutMs});
}

async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch {
    return null; // Not there yet, or not readable: apt downloads it and says what is wrong.
  }
}
