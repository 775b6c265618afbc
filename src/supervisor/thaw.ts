/**
 * For a CRIU that has to be killed in the middle of a dump. The kernel then lets its tasks go, and CRIU's code inside
 * them removes itself; but their connections stay in repair mode, in which they send nothing and every read fails. So
 * the tasks are stopped before, and go on when the connections have been repaired. (When CRIU is killed by somebody
 * else, a task may have read from such a connection before it is thawed.)
 */
import {closeSync, readdirSync} from 'node:fs';
import {readlink} from 'node:fs/promises';
import {errorCode, errorMessage} from '../core/errors.ts';
import {tryDisableRepair, trySyscall} from '../core/libc.ts';
import type {Log} from '../core/log.ts';

/** The same on all architectures, as all calls from 424 on. */
const pidfdOpen = 434;
const pidfdGetfd = 438;

/** Never throws: what cannot be undone is logged. */
export async function thaw(pids: readonly number[], log: Log): Promise<void> {
  for (const pid of pids) {
    try {
      await endRepair(pid);
      process.kill(pid, 'SIGCONT');
    } catch (error) {
      if (errorCode(error) !== 'ESRCH' && errorCode(error) !== 'ENOENT')
        log.warn({pid, error: errorMessage(error)}, 'a process may still be frozen after a failed dump');
    }
  }
}

async function endRepair(pid: number): Promise<void> {
  const pidfd = trySyscall(pidfdOpen, pid, 0);
  if (pidfd < 0) return; // It has ended.
  try {
    for (const name of readdirSync(`/proc/${pid}/fd`)) {
      const link = await readlink(`/proc/${pid}/fd/${name}`).catch(() => ''); // Closed meanwhile.
      if (!link.startsWith('socket:')) continue;
      const socket = trySyscall(pidfdGetfd, pidfd, Number(name), 0);
      if (socket < 0) continue;
      tryDisableRepair(socket); // Fails harmlessly on what is not TCP.
      closeSync(socket);
    }
  } finally {
    closeSync(pidfd);
  }
}
