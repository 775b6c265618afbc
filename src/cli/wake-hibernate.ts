import {appName} from '../core/ids.ts';
import {callControl} from '../store/control.ts';
import {exitStatus} from './exit-status.ts';
import {milliseconds} from './format.ts';
import {connectToGateway, printJson} from './remote.ts';
import {followUploads} from './upload-progress.ts';

const timeoutMs = {usual: 120_000, withUpload: 3_600_000} as const;

/** Wakes an app or puts it to sleep and waits for that. @returns the exit status: 75 when a hibernation was cancelled because the app was needed */
export async function wakeOrHibernate(
  files: readonly string[] | undefined,
  verb: 'wake' | 'hibernate',
  name: string,
  {json, cold, force}: {json: boolean; cold: boolean; force: boolean},
): Promise<number> {
  const startedMs = performance.now();
  const {connection} = await connectToGateway(files);
  await using owned = connection;
  using shown = cold ? followUploads(owned, {title: `upload ${name}`, apps: [appName(name)]}) : null;
  const result = await callControl(owned, verb, {name, cold, force}, {timeoutMs: cold ? timeoutMs.withUpload : timeoutMs.usual});
  shown?.[Symbol.dispose]();
  const ms = performance.now() - startedMs;
  if (json) printJson(result);
  else
    process.stdout.write(
      `${name}: ${result === 'cancelled' ? 'goes on running, because it was needed,' : verb === 'wake' ? 'running' : cold ? 'hibernated, and in the store only,' : 'hibernated'} after ${milliseconds(ms)}\n`,
    );
  return result === 'cancelled' ? exitStatus.notNow : exitStatus.done;
}
