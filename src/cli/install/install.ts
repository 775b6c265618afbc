/**
 * `picogate install` and `uninstall`: units, the user of the edge, and a first configuration, on this host or under another directory. Both can be
 * repeated, and say what they have done.
 */
import {chmod, mkdir, readdir, readFile, readlink, rm, rmdir, symlink, writeFile} from 'node:fs/promises';
import {basename, dirname, join} from 'node:path';
import type {Command} from 'commander';
import {run} from '../../core/command.ts';
import {CodedError, errorCode} from '../../core/errors.ts';
import {lockFile} from '../../store/directory-lock.ts';
import {confirm} from '../confirm.ts';
import {
  configurationDirectory,
  type InstalledFile,
  installedFiles,
  programPath,
  stateDirectories,
  sysusersFile,
  tmpfilesFile,
  unitDirectory,
} from './installed-files.ts';

export interface InstallOptions {
  /** What stands for `/`. With another one nothing is run: no user is made, and systemd is not told. */
  readonly prefix: string;
  /** Only say what would be done. */
  readonly dryRun: boolean;
  /** Of which completion and manual tell. */
  readonly program: Command;
}

/** So that `picogate` is found; a package has one of its own. */
const programLink = '/usr/local/bin/picogate';
/** As a package of the distribution has it: two of each unit would not be understood. */
const packagedUnit = '/usr/lib/systemd/system/picogate.service';
const commandTimeoutMs = 60_000;

type Say = (what: string, path: string) => void;

function speaker(dryRun: boolean): Say {
  return (what, path) => void process.stdout.write(`${dryRun ? `would be ${what}` : what}: ${path}\n`);
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return null;
    throw error;
  }
}

async function writeOne({path, content, mode, kind}: InstalledFile, {prefix, dryRun}: InstallOptions, say: Say): Promise<void> {
  const target = join(prefix, path);
  const before = await readIfThere(target);
  if (before === content) return void process.stdout.write(`unchanged: ${target}\n`);
  if (before !== null && kind === 'first') return void process.stdout.write(`kept, as it is yours: ${target}\n`);
  say(before === null ? 'created' : 'updated', target);
  if (dryRun) return;
  await mkdir(dirname(target), {recursive: true});
  await writeFile(target, content, {mode});
  await chmod(target, mode);
}

async function linkProgram({prefix, dryRun}: InstallOptions, say: Say): Promise<void> {
  const target = join(prefix, programLink);
  const before = await readlink(target).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return null;
    if (errorCode(error) === 'EINVAL') return ''; // Something else than a link, which is not ours.
    throw error;
  });
  if (before === programPath()) return void process.stdout.write(`unchanged: ${target}\n`);
  if (before === '') return void process.stdout.write(`kept, as it is yours: ${target}\n`);
  say(before === null ? 'created' : 'updated', target);
  if (dryRun) return;
  await mkdir(dirname(target), {recursive: true});
  await rm(target, {force: true});
  await symlink(programPath(), target);
}

/** Where systemd runs, as sd_booted(3) has it. */
async function systemdRuns(): Promise<boolean> {
  return (await readdir('/run/systemd/system').catch(() => null)) !== null;
}

async function tell(argv: readonly [string, ...string[]]): Promise<void> {
  await run(argv, {timeoutMs: commandTimeoutMs});
  process.stdout.write(`done: ${argv.join(' ')}\n`);
}

function expectRoot(verb: string): void {
  if (process.getuid?.() === 0) return;
  throw new CodedError('ERR_NOT_ROOT', `Cannot ${verb} Picogate: root is needed; --dry-run says what would be done`, {source: 'client'});
}

/** @returns the exit status. @throws CodedError ERR_NOT_ROOT, ERR_PACKAGED; CommandError */
export async function install(options: InstallOptions): Promise<number> {
  const {prefix, dryRun} = options;
  const isHere = prefix === '/';
  if (isHere && !dryRun) expectRoot('install');
  if ((await readIfThere(join(prefix, packagedUnit))) !== null) {
    throw new CodedError('ERR_PACKAGED', 'Cannot install Picogate: a package of this system has done so', {source: 'client'});
  }
  const say = speaker(dryRun);
  for (const file of await installedFiles(options.program)) await writeOne(file, options, say);
  await linkProgram(options, say);
  if (dryRun || !isHere) return 0;
  await tell(['systemd-sysusers', sysusersFile]);
  await tell(['systemd-tmpfiles', '--create', tmpfilesFile]);
  if (await systemdRuns()) await tell(['systemctl', 'daemon-reload']);
  if (/^\/(?:home|root)\//.test(programPath())) {
    process.stderr.write(`picogate: the edge cannot read ${programPath()}, since its unit has ProtectHome=yes; install from elsewhere, as /opt/picogate\n`);
  }
  process.stdout.write(`
Next: edit ${configurationDirectory}/picogate.cfg, then
    systemctl enable --now picogate            the whole gateway, or
    systemctl enable --now picogate.target     supervisor and edge by themselves
`);
  return 0;
}

async function removeOne(path: string, {prefix, dryRun}: InstallOptions, say: Say): Promise<void> {
  const target = join(prefix, path);
  try {
    if (dryRun) await readFile(target);
    else await rm(target);
    say('removed', target);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}

async function purge({prefix, dryRun}: InstallOptions, say: Say): Promise<void> {
  for (const path of [configurationDirectory, ...stateDirectories]) {
    const target = join(prefix, path);
    if ((await readdir(target).catch(() => null)) === null) continue;
    say('removed', target);
    if (!dryRun) await rm(target, {recursive: true});
  }
}

async function tellKept(prefix: string): Promise<void> {
  for (const path of [configurationDirectory, ...stateDirectories]) {
    const target = join(prefix, path);
    if ((await readdir(target).catch(() => null)) !== null) process.stdout.write(`kept (--purge removes it): ${target}\n`);
  }
}

/** @throws CodedError ERR_IN_USE */
async function expectNobody({prefix}: InstallOptions): Promise<void> {
  const [state] = stateDirectories;
  const directory = join(prefix, state);
  if ((await readdir(directory).catch(() => null)) === null) return;
  using _lock = lockFile(join(directory, 'lock'), `state directory "${directory}"`);
}

/**
 * @param options.purge with configuration and state, after a question unless `yes`
 * @returns the exit status. @throws CodedError ERR_NOT_ROOT, ERR_NOT_CONFIRMED, ERR_IN_USE while a gateway runs; CommandError
 */
export async function uninstall(options: InstallOptions & {readonly purge: boolean; readonly yes: boolean}): Promise<number> {
  const {prefix, dryRun, yes} = options;
  const isHere = prefix === '/';
  if (isHere && !dryRun) expectRoot('uninstall');
  if (options.purge && !dryRun) {
    await confirm(`Remove the configuration, and all apps with their memory and files, below "${prefix}"?`, {yes});
  }
  const files = await installedFiles(options.program);
  const units = files.filter(({path}) => dirname(path) === unitDirectory).map(({path}) => basename(path));
  if (isHere && !dryRun && (await systemdRuns())) {
    // Not those that are not there: then there is nothing to be stopped.
    const known = (await Promise.all(units.map(async (unit) => ((await readIfThere(join(unitDirectory, unit))) === null ? [] : [unit])))).flat();
    if (known.length > 0) await tell(['systemctl', 'disable', '--now', ...known]);
  }
  await expectNobody(options);
  const say = speaker(dryRun);
  for (const {path, kind} of files) if (kind === 'ours') await removeOne(path, options, say);
  if ((await readlink(join(prefix, programLink)).catch(() => null)) === programPath()) await removeOne(programLink, options, say);
  if (options.purge) await purge(options, say);
  else await tellKept(prefix);
  if (dryRun) return 0;
  await rmdir(join(prefix, unitDirectory)).catch(() => undefined); // It may have units of others.
  if (isHere && (await systemdRuns())) await tell(['systemctl', 'daemon-reload']);
  return 0;
}
