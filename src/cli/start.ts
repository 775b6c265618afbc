/** Starts the gateway under HAProxy's command line: in the foreground, as a daemon, or as master and worker. */
import {constants} from 'node:os';
import {errorMessage} from '../core/errors.ts';
import {createLog} from '../core/log.ts';
import {load, printDiagnostics} from './configuration.ts';
import {becomeDaemon, daemonReadyFd, leaveTerminal} from './daemon.ts';
import {exitStatus} from './exit-status.ts';
import {filesOf, type HaproxyArguments} from './haproxy-arguments.ts';
import {runMaster} from './master.ts';
import {tellReady} from './run.ts';

/** @param words the command line, for the daemon. @returns the exit status, when it has stopped */
export async function start(words: readonly string[], args: HaproxyArguments): Promise<number> {
  const files = filesOf(args);
  const readyFd = daemonReadyFd();
  const {config, diagnostics, sources} = await load(files);
  // In a daemon, whoever started it has printed them.
  if (readyFd === null) printDiagnostics(args.quiet ? diagnostics.filter(({level}) => level === 'alert') : diagnostics);
  if (config === null) return exitStatus.badConfiguration;
  for (const option of args.ignored) process.stderr.write(`[WARNING]  (${process.pid}) : option '${option}' is accepted, and has no effect.\n`);
  const daemon = args.mode === 'daemon' || (args.mode === null && config.global.process.daemon);
  if (daemon && readyFd === null) return becomeDaemon(words);
  const log = createLog(config.global.gatewayLog.level ?? undefined, config.global.gatewayLog.form);
  const onReady = (): void => {
    if (readyFd === null) return;
    leaveTerminal();
    tellReady(readyFd);
  };
  try {
    const signal = await runMaster({config, sources}, {...args, files, log, onReady});
    log.info('stopped');
    // What HAProxy's master passes on of its worker, which the signal has ended.
    const isMaster = args.masterWorker || config.global.process.masterWorker;
    return isMaster && signal !== 'SIGUSR1' ? 128 + constants.signals[signal] : 0;
  } catch (error) {
    process.stderr.write(`[ALERT]    (${process.pid}) : ${errorMessage(error)}\n`);
    return exitStatus.cannotStart;
  }
}
