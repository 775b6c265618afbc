/** How far the uploads of some apps are, shown while a command waits for them. Whoever interrupts the command interrupts no upload. */
import type {AppName} from '../core/ids.ts';
import type {Connection} from '../store/connection.ts';
import {openPlacements} from '../store/placements.ts';
import {type Progress, progress} from './progress.ts';

const everyMs = 500;

export interface FollowedUploads {
  readonly title: string;
  readonly apps: readonly AppName[];
  /** Default: on standard error. */
  readonly line?: Progress;
}

/** Until it is disposed. What waits to be uploaded only becomes known on the way, so the whole is the most that was seen. */
export function followUploads(connection: Connection, {title, apps, line = progress(title, null)}: FollowedUploads): Disposable {
  const placements = openPlacements(connection);
  let [most, doneBytes] = [0, 0];
  let before = 0;
  const look = async (): Promise<void> => {
    const found = await Promise.all(apps.map((app) => placements.readOne(app)));
    const pendingBytes = found.reduce((sum, placement) => sum + (placement?.pendingBytes ?? 0), 0);
    const waiting = found.filter((placement) => (placement?.pendingBytes ?? 0) > 0).length;
    doneBytes += Math.max(0, before - pendingBytes);
    before = pendingBytes;
    most = Math.max(most, doneBytes + pendingBytes);
    line.total(most);
    line.at(doneBytes, apps.length > 1 ? `${waiting} of ${apps.length} apps wait` : '');
  };
  // What cannot be seen is not shown; the command itself says what is wrong.
  const timer = setInterval(() => void look().catch(() => undefined), everyMs);
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      line[Symbol.dispose]();
    },
  };
}
