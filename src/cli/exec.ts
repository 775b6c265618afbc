/** `picogate exec`: a command beside the processes of an app. It is run by this process, so it must be on the host of the worker that has the app. */
import {mkdtemp, rm} from 'node:fs/promises';
import {hostname, tmpdir} from 'node:os';
import {join} from 'node:path';

import type {Config} from '../config/value.ts';
import {CodedError} from '../core/errors.ts';
import {appName} from '../core/ids.ts';
import type {Connection} from '../store/connection.ts';
import {callControl} from '../store/control.ts';
import {openState} from '../store/state.ts';
import {type GuestEnd, runGuest} from '../supervisor/run-guest.ts';
import {exitStatus} from './exit-status.ts';
import {connectToGateway} from './remote.ts';

export interface ExecOptions {
  readonly name: string;
  readonly words: readonly string[];
  readonly wake: boolean;
  readonly interactive: boolean;
  readonly tty: boolean;
  readonly user: string | undefined;
}

const askMs = 30_000;
const wakeMs = 120_000;

/** @returns the exit status: that of the command, or 125 to 127 when it was not run */
export async function execute(files: readonly string[] | undefined, options: ExecOptions): Promise<number> {
  try {
    return await executeInApp(files, options);
  } catch (error) {
    process.stderr.write(`picogate: ${error instanceof CodedError ? error.message : String(error)}\n`);
    return exitStatus.notRun;
  }
}

async function executeInApp(files: readonly string[] | undefined, options: ExecOptions): Promise<number> {
  const {name, words, tty, interactive} = options;
  if (tty && !process.stdin.isTTY) throw new CodedError('ERR_NO_TERMINAL', `Cannot use -t: standard input is no terminal`, {source: 'client'});
  if (process.getuid?.() !== 0) throw new CodedError('ERR_NOT_ROOT', `Cannot run a command in app "${name}": only root may`, {source: 'client'});
  const {config, connection} = await connectToGateway(files);
  await using owned = connection;
  await expectHere(owned, config, options);
  const term = tty ? (process.env['TERM'] ?? 'xterm') : null;
  // A program that is quick to ask how large the terminal is would hear 0 before runc passes that on.
  const size = tty && process.stdout.isTTY ? {columns: process.stdout.columns, rows: process.stdout.rows} : null;
  const answer = await callControl(owned, 'exec', {name, words: [...words], user: options.user ?? null, term, size}, {timeoutMs: askMs});
  const {id, spec} = typeof answer === 'object' && answer !== null && 'id' in answer && 'spec' in answer ? answer : {};
  if (typeof id !== 'string' || typeof spec !== 'string')
    throw new CodedError('ERR_BAD_ANSWER', "Cannot read the gateway's answer: it has no command in it", {source: 'server'});
  const directory = await mkdtemp(join(tmpdir(), 'picogate-exec-'));
  try {
    return statusOf(await runGuest({directory, spec, id, input: interactive ? 'inherit' : 'ignore'}));
  } finally {
    await rm(directory, {recursive: true, force: true});
    // The app may sleep at once. If the gateway does not hear of it, it looks whether there are processes.
    await callControl(owned, 'exec ended', {name, id}, {timeoutMs: askMs}).catch(() => undefined);
  }
}

/** @throws CodedError ERR_ELSEWHERE, ERR_ASLEEP, ERR_UNKNOWN_APP */
async function expectHere(connection: Connection, {global: {worker}}: Config, {name, wake}: ExecOptions): Promise<void> {
  const state = openState(connection);
  const read = async (): Promise<{state: string; worker: string | null}> => {
    const record = await state.readApp(appName(name));
    if (record === null) throw new CodedError('ERR_UNKNOWN_APP', `Cannot find app "${name}"`, {source: 'client'});
    return record;
  };
  let found = await read();
  if (wake && (found.state !== 'running' || found.worker === null)) {
    await callControl(connection, 'wake', {name}, {timeoutMs: wakeMs});
    found = await read();
  }
  const here = worker?.name ?? hostname();
  if (found.worker === null || found.worker === here || found.state === 'hibernated') return;
  throw new CodedError('ERR_ELSEWHERE', `Cannot run a command in app "${name}": it runs on worker "${found.worker}", and this is "${here}"; run it there`, {
    source: 'client',
  });
}

/** runc ends with 1 when it could not start anything. */
function statusOf({exitStatus: status, notStarted}: GuestEnd): number {
  if (notStarted === null) return status;
  if (/executable file not found|no such file or directory/.test(notStarted)) return exitStatus.notFound;
  return /permission denied/.test(notStarted) ? exitStatus.notExecutable : exitStatus.notRun;
}
