/** `-D`: the gateway goes on in the background, when it is ready; whoever started it waits until then, and learns when it cannot start. */
import {once} from 'node:events';
import {closeSync, openSync} from 'node:fs';
import {startDaemon} from '../core/command.ts';
import {replaceDescriptor} from '../core/libc.ts';

const readyFd = 3;

/** Where the daemon says that it is ready; null when this is no daemon. The variable is taken away. */
export function daemonReadyFd(): number | null {
  const text = process.env['PICOGATE_DAEMON_READY_FD'];
  delete process.env['PICOGATE_DAEMON_READY_FD'];
  return text === undefined ? null : Number(text);
}

/** Starts this program once more, as a daemon, and waits until it is ready. @returns the exit status: 0, or that of a daemon that ended */
export async function becomeDaemon(words: readonly string[]): Promise<number> {
  const [, program = ''] = process.argv;
  const {child, exited} = await startDaemon([process.execPath, ...process.execArgv, program, ...words], {
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
    env: {...process.env, PICOGATE_DAEMON_READY_FD: String(readyFd)},
    dieWithParent: false,
  });
  const ready = child.stdio[readyFd];
  const first = await Promise.race([ready === null || ready === undefined ? new Promise<never>(() => undefined) : once(ready, 'data'), exited]);
  if (!Array.isArray(first)) return first.exitCode ?? 1;
  child.unref();
  if (ready !== null && ready !== undefined) ready.destroy();
  return 0;
}

/** Nobody reads what a daemon prints, and a pipe to somebody who waits for its end must not stay open. */
export function leaveTerminal(): void {
  const nowhere = openSync('/dev/null', 'r+');
  for (const fd of [0, 1, 2]) replaceDescriptor(nowhere, fd);
  closeSync(nowhere);
}
