/**
 * Whether an app has nothing to do. Traffic alone does not tell: a request that was received a moment ago may wait in a
 * socket for a busy machine to schedule the app, and an app that is put to sleep then would never answer it.
 */
import {readdir} from 'node:fs/promises';
import {errorCode} from '../core/errors.ts';
import {readKernelFile} from '../core/kernel-files.ts';
import {readPortUse} from './ports.ts';

/** How long an app may take to finish what it has when it is put to sleep; a busy one goes on running. */
export const quietTimeoutMs = 200;
/** An app that was not quiet is left alone for so long: what it has to send again must get through between two attempts. */
export const unquiet = {pauseMs: 1000, reason: 'it was at work: a thread ran, or a socket held something unread or unsent'} as const;
const pollMs = 5;

/** Running, or in a wait that ends soon by itself (disk): proc_pid_stat(5), field 3, after the name in parentheses. */
async function isBusy(pid: number): Promise<boolean> {
  try {
    for (const task of await readdir(`/proc/${pid}/task`)) {
      const stat = readKernelFile(`/proc/${pid}/task/${task}/stat`);
      const state = stat.slice(stat.lastIndexOf(')') + 2)[0];
      if (state === 'R' || state === 'D') return true;
    }
    return false;
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return false;
    throw error;
  }
}

/**
 * Waits until no thread of the app runs and its sockets hold nothing unread or unacknowledged.
 * @param pids its processes, at each look
 * @returns false when it is still busy after `timeoutMs`
 */
export async function becomesQuiet(pids: () => readonly number[], timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const now = pids();
    const [first] = now;
    if (first === undefined) return true;
    const busy = (await readPortUse(first)).hasUnfinished || (await Promise.all(now.map(isBusy))).includes(true);
    if (!busy) return true;
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
