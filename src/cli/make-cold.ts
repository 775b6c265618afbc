import type {Pager} from '../pager/client.ts';
import type {App} from '../supervisor/app.ts';

interface Sleeper {
  readonly housekeeping: Pick<App['housekeeping'], 'done' | 'hold' | 'dropFiles'>;
  readonly standby: Pick<App['standby'], 'drop'>;
  status(): Pick<ReturnType<App['status']>, 'state'>;
  hibernate(): Promise<'hibernated' | 'cancelled'>;
}

/**
 * Puts an app to sleep if it runs, waits until it is in the remote store, and drops what this host has of it. 'cancelled' when it was needed.
 * @throws CodedError why it cannot sleep or be stored; it stays as it is then
 */
export async function makeCold(
  {app, name}: {readonly app: Sleeper; readonly name: string},
  pager: Pick<Pager, 'finishUpload' | 'dropLocal'>,
): Promise<'hibernated' | 'cancelled'> {
  const sleeps = (): boolean => app.status().state === 'hibernated';
  if (!sleeps() && (await app.hibernate()) === 'cancelled') return 'cancelled';
  // If it has become wasteful, now is the time: what is in the store only is not compacted.
  await app.housekeeping.done();
  // What is compacted meanwhile would not be in the upload.
  using _held = await app.housekeeping.hold();
  // That has waited for what was under way.
  if (!sleeps()) return 'cancelled';
  await pager.finishUpload(name);
  // The upload takes its time, and the app may have been woken.
  if (!sleeps()) return 'cancelled';
  await app.standby.drop();
  if (!(await app.housekeeping.dropFiles())) return 'cancelled';
  await pager.dropLocal(name);
  return 'hibernated';
}
