/** `picogate run`, `supervisor` and `edge`: the whole gateway, or a part of it, in the foreground. */
import {closeSync, writeSync} from 'node:fs';
import {errorMessage} from '../core/errors.ts';
import {createLog} from '../core/log.ts';
import {load, printDiagnostics} from './configuration.ts';
import {exitStatus} from './exit-status.ts';
import {runMaster} from './master.ts';
import type {Role} from './role.ts';

/**
 * @param readyFd a descriptor on which a line is written when everything is open; it is closed then
 * @returns the exit status: 0 after a signal
 */
export async function run(files: readonly string[] | undefined, {role, readyFd}: {readonly role: Role; readonly readyFd: number | undefined}): Promise<number> {
  const {config, diagnostics, sources} = await load(files);
  printDiagnostics(diagnostics);
  if (config === null) return exitStatus.badConfiguration;
  const log = createLog(config.global.gatewayLog.level ?? undefined, config.global.gatewayLog.form);
  const onReady = (): void => {
    if (readyFd !== undefined) tellReady(readyFd);
  };
  try {
    await runMaster({config, sources}, {files, role, log, onReady, masterSocket: null, pidFile: null, replaced: null, oldSocket: null, maxconn: null});
  } catch (error) {
    process.stderr.write(`picogate: ${errorMessage(error)}\n`);
    return exitStatus.cannotStart;
  }
  log.info('stopped');
  return 0;
}

/** Writes a line to whoever waits, and closes the descriptor. */
export function tellReady(fd: number): void {
  writeSync(fd, 'ready\n');
  closeSync(fd);
}
