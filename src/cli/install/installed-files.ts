/** What `picogate install` puts on a host, and where. */
import {readdir, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import type {Command} from 'commander';
import {completionScript} from '../completion/scripts.ts';
import {configurationPage, programPage} from '../manual.ts';

export interface InstalledFile {
  /** On the host. */
  readonly path: string;
  readonly content: string;
  readonly mode: number;
  /** `first`: it is the operator's from then on. */
  readonly kind: 'ours' | 'first';
}

/** Where the units say that the program is. */
const packagedProgram = '/usr/bin/picogate';
/** Not /etc, where an operator's own unit of the same name goes, and not /usr/lib, which is the packages'. */
export const unitDirectory = '/usr/local/lib/systemd/system';
export const configurationDirectory = '/etc/picogate';
export const sysusersFile = '/etc/sysusers.d/picogate.conf';
export const tmpfilesFile = '/etc/tmpfiles.d/picogate.conf';
/** What the gateway itself has made, under the settings that it was installed with. */
export const stateDirectories = ['/var/lib/picogate', '/var/cache/picogate', '/var/cache/picogate-edge'] as const;

/** The directory with `bin/` and `systemd/`: of a clone, or of a package, in which this is compiled. */
export function packageDirectory(): string {
  return fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../../../' : '../../../../', import.meta.url));
}

export function programPath(): string {
  return join(packageDirectory(), 'bin/picogate');
}

/** Where shells and man(1) look for what did not come with a package of the system. */
async function sharedFiles(program: Command): Promise<readonly InstalledFile[]> {
  const files = [
    ['bash-completion/completions/picogate', completionScript('bash')],
    ['zsh/site-functions/_picogate', completionScript('zsh')],
    ['fish/vendor_completions.d/picogate.fish', completionScript('fish')],
    ['man/man1/picogate.1', await programPage(program)],
    ['man/man5/picogate.cfg.5', configurationPage()],
  ] as const;
  return files.map(([name, content]) => ({path: join('/usr/local/share', name), content, mode: 0o644, kind: 'ours'}));
}

/** @param program of which completion and manual tell; the units start it from where it is */
export async function installedFiles(program: Command): Promise<readonly InstalledFile[]> {
  const directory = packageDirectory();
  const read = (name: string): Promise<string> => readFile(join(directory, name), 'utf8');
  const units = (await readdir(join(directory, 'systemd'))).filter((name) => /\.(?:service|socket|target)$/.test(name)).sort();
  const files = units.map(async (name): Promise<InstalledFile> => {
    const content = (await read(`systemd/${name}`)).replaceAll(packagedProgram, programPath());
    return {path: join(unitDirectory, name), content, mode: 0o644, kind: 'ours'};
  });
  return [
    ...(await Promise.all(files)),
    {path: sysusersFile, content: await read('systemd/sysusers.conf'), mode: 0o644, kind: 'ours'},
    {path: tmpfilesFile, content: await read('systemd/tmpfiles.conf'), mode: 0o644, kind: 'ours'},
    ...(await sharedFiles(program)),
    {path: join(configurationDirectory, 'picogate.cfg'), content: await read('config/installed.cfg'), mode: 0o640, kind: 'first'},
  ];
}
