/** The exit statuses of all commands: HAProxy's 1 and 2, and those of sysexits(3). They are told in topics/exit-status.md, for `picogate help` and the manual page. */
import {errorCode} from '../core/errors.ts';

export const exitStatus = {
  done: 0,
  /** What was asked for cannot be done, or was found to be wrong: the command line, a configuration with errors, an app that cannot be woken. */
  refused: 1,
  badConfiguration: 1,
  /** The gateway cannot start, or a condition of `-cc` is none. */
  cannotStart: 2,
  /** EX_UNAVAILABLE: the gateway, or its Redis, does not answer. */
  unavailable: 69,
  /** EX_SOFTWARE: a fault of the program. */
  bug: 70,
  /** EX_TEMPFAIL: nothing is wrong, and it may work in a moment. */
  notNow: 75,
  /** `exec`: it was not run, as with env(1). */
  notRun: 125,
  /** The shell's: it cannot be executed, there is no such program. */
  notExecutable: 126,
  notFound: 127,
  /** The shell's for SIGINT. */
  interrupted: 130,
} as const;

const unavailable: ReadonlySet<string> = new Set(['ERR_NO_GATEWAY', 'ERR_REDIS_UNAVAILABLE', 'ERR_CONTROL_TIMEOUT']);

/** Of a command that has thrown. */
export function statusOf(error: unknown): number {
  const code = errorCode(error);
  if (code !== undefined && unavailable.has(code)) return exitStatus.unavailable;
  if (code === 'ERR_INTERRUPTED') return exitStatus.interrupted;
  if (code === 'ERR_ASSERTION' || error instanceof TypeError || error instanceof ReferenceError) return exitStatus.bug;
  return exitStatus.refused;
}
