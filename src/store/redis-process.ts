/** Finds, asks and ends redis-server processes, without a client library: PING and SHUTDOWN are lines on a socket. */
import {readFile, readlink} from 'node:fs/promises';
import {connect} from 'node:net';
import {setTimeout as sleep} from 'node:timers/promises';
import {CodedError, errorCode} from '../core/errors.ts';

/** Sends one inline command over a unix socket; null when nobody listens or no answer comes in time. */
export function askRedis(path: string, command: string, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({path});
    let received = '';
    const finish = (answer: string | null): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(timeoutMs, () => finish(null));
    socket.on('error', () => finish(null));
    socket.on('close', () => finish(received === '' ? null : received));
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
      if (received.endsWith('\r\n')) finish(received.trim());
    });
    socket.write(`${command}\r\n`);
  });
}

/** Is `pid` a live process that works in `directory`? A redis-server works in the directory of its data, whatever its name. */
export async function worksIn(pid: number, directory: string): Promise<boolean> {
  try {
    return (await readlink(`/proc/${pid}/cwd`)) === directory;
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(errorCode(error) ?? '')) return false;
    throw error;
  }
}

/** The pid in a pidfile, or null. */
export async function readPidfile(path: string): Promise<number | null> {
  try {
    const pid = Number((await readFile(path, 'latin1')).trim());
    return Number.isSafeInteger(pid) && pid > 1 ? pid : null;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Asks a server for its pid; null when nobody answers. */
export async function askPid(socketPath: string): Promise<number | null> {
  // The answer of INFO is many lines and ends in one that may be anywhere in a chunk; the pid is near its top.
  const answer = await askRedis(socketPath, 'INFO server', 1000);
  const pid = Number(/process_id:(?<pid>\d+)/.exec(answer ?? '')?.groups?.['pid']);
  return Number.isSafeInteger(pid) && pid > 1 ? pid : null;
}

/** Ends a server whose gateway is gone: SIGTERM lets it write its file to the end, SIGKILL is for one that hangs. */
export async function endRedis(pid: number, directory: string): Promise<void> {
  for (const [signal, waitMs] of [
    ['SIGTERM', 5000],
    ['SIGKILL', 2000],
  ] as const) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if (errorCode(error) !== 'ESRCH') throw error;
      return;
    }
    for (const deadline = performance.now() + waitMs; performance.now() < deadline; await sleep(10)) {
      if (!(await worksIn(pid, directory))) return;
    }
  }
  throw new CodedError('ERR_REDIS_LEFTOVER', `Cannot end redis-server ${pid} of an earlier run in "${directory}": it survives SIGKILL`, {source: 'host'});
}
