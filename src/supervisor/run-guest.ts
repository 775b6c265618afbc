/** Runs a command beside the processes of an app to its end, with the standard files of this process. */
import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {runForeground} from '../core/command.ts';
import {errorsIn} from './runc.ts';

export interface GuestRun {
  /** An empty directory that only root may enter; the caller removes it. */
  readonly directory: string;
  /** `config.json` */
  readonly spec: string;
  readonly id: string;
  readonly input: 'inherit' | 'ignore';
}

export interface GuestEnd {
  /** As a shell has it. */
  readonly exitStatus: number;
  /** Null: it was started. Else what runc said, which is on standard error already. */
  readonly notStarted: string | null;
}

/** What the command leaves running ends with it. @throws CommandError ERR_COMMAND_MISSING */
export async function runGuest({directory, spec, id, input}: GuestRun): Promise<GuestEnd> {
  const [bundle, logFile] = [join(directory, 'bundle'), join(directory, 'runc.log')];
  await mkdir(bundle);
  await writeFile(join(bundle, 'config.json'), spec, {mode: 0o600});
  const runc = ['runc', '--root', join(directory, 'root'), '--log', logFile, '--log-format', 'json'] as const;
  const exitStatus = await runForeground([...runc, 'run', '--bundle', bundle, id], {input});
  const said = exitStatus === 0 ? '' : await errorsIn(logFile);
  return {exitStatus, notStarted: said === '' ? null : said};
}
