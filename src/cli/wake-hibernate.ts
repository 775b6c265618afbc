import {milliseconds} from './format.ts';
import {command, printJson} from './remote.ts';

const timeoutMs = 120_000;

/** Wakes an app or puts it to sleep and waits for that. @returns the exit status: 1 when a hibernation was cancelled because the app was needed */
export async function wakeOrHibernate(
  files: readonly string[] | undefined,
  verb: 'wake' | 'hibernate',
  name: string,
  {json}: {json: boolean},
): Promise<number> {
  const startedMs = performance.now();
  const result = await command(files, verb, {name}, timeoutMs);
  const ms = performance.now() - startedMs;
  if (json) printJson(result);
  else
    process.stdout.write(
      `${name}: ${result === 'cancelled' ? 'goes on running, because it was needed,' : verb === 'wake' ? 'running' : 'hibernated'} after ${milliseconds(ms)}\n`,
    );
  return result === 'cancelled' ? 1 : 0;
}
