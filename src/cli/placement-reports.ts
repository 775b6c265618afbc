import {errorMessage} from '../core/errors.ts';
import {appName} from '../core/ids.ts';
import type {Log} from '../core/log.ts';
import type {PagerOptions} from '../pager/client.ts';
import type {Connection} from '../store/connection.ts';
import type {Events} from '../store/events.ts';
import {openPlacements} from '../store/placements.ts';

/** What the pager says about the remote store, for those who list apps and read events. */
export function placementReports(
  connection: Connection,
  events: Events,
  {log, onStored}: {readonly log: Log; readonly onStored: () => void},
): Required<Pick<PagerOptions, 'onPlacement' | 'onTierEvent'>> {
  const placements = openPlacements(connection);
  const failed = (app: string, error: unknown): void => log.debug({app, error: errorMessage(error)}, 'where the app is kept was not recorded');
  return {
    onPlacement: (app, placement) => void placements.write(appName(app), placement).catch((error: unknown) => failed(app, error)),
    onTierEvent(app, event, message) {
      if (event === 'stored') onStored();
      events.publish({at: Date.now(), app: appName(app), kind: event, message}).catch((error: unknown) => failed(app, error));
    },
  };
}
