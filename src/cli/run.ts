/** `picogate run`: the whole gateway in the foreground. */
import {closeSync, writeSync} from 'node:fs';
import {errorMessage} from '../core/errors.ts';
import {createLog} from '../core/log.ts';
import {load, printDiagnostics} from './configuration.ts';
import {openGateway} from './gateway.ts';
import {stopSignal} from './stop-signal.ts';

/** HAProxy's: 1 for a configuration with errors, 2 when the gateway cannot start. */
const exitStatus = {badConfiguration: 1, cannotStart: 2} as const;

/**
 * @param readyFd a descriptor on which a line is written when everything is open; it is closed then
 * @returns the exit status: 0 after a signal
 */
export async function run(files: readonly string[] | undefined, readyFd: number | undefined): Promise<number> {
  const {config, diagnostics} = await load(files);
  printDiagnostics(diagnostics);
  if (config === null) return exitStatus.badConfiguration;
  const log = createLog();
  const stopped = stopSignal();
  try {
    await using _gateway = await openGateway(config, log);
    log.info({apps: config.apps.length, frontends: config.frontends.length}, 'ready');
    if (readyFd !== undefined) {
      writeSync(readyFd, 'ready\n');
      closeSync(readyFd);
    }
    const signal = await stopped;
    log.info({signal, apps: config.apps.length}, 'stopping');
  } catch (error) {
    process.stderr.write(`picogate: ${errorMessage(error)}\n`);
    return exitStatus.cannotStart;
  }
  log.info('stopped');
  return 0;
}
