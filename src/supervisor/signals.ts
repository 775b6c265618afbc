import {errorCode} from '../core/errors.ts';
import {readKernelFile} from '../core/kernel-files.ts';

/** To each that still exists. For a process that CRIU holds, a stop takes effect when CRIU lets go of it. */
export function signalAll(pids: readonly number[], signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if (errorCode(error) !== 'ESRCH') throw error;
    }
  }
}

/** False for a process that has ended, also while nobody has reaped it: proc_pid_stat(5), field 3. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readKernelFile(`/proc/${pid}/stat`);
    return !'ZX'.includes(stat.slice(stat.lastIndexOf(')') + 2)[0] ?? 'X');
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return false;
    throw error;
  }
}
