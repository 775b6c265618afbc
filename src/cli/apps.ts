import type {AppRecord} from '../store/app-record.ts';
import type {Json} from '../store/json.ts';
import {openPlacements, residencyOf, type StoredPlacement} from '../store/placements.ts';
import {openState} from '../store/state.ts';
import {ago, bytes, milliseconds, table} from './format.ts';
import {connectToGateway, printJson} from './remote.ts';

/** The public form of a record: what `apps --json` promises, and more. */
export function publicRecord(record: AppRecord, placement: StoredPlacement | undefined): Readonly<Record<string, Json>> {
  const {details: _details, index: _index, lastWake, lastHibernate, lastError, pin, ...rest} = record;
  return {
    ...rest,
    ...residencyOf(record, placement),
    lastWake: lastWake && {...lastWake},
    lastHibernate: lastHibernate && {...lastHibernate},
    lastError: lastError && {...lastError},
    pin: pin && {...pin},
  };
}

function residencyText(record: AppRecord, placement: StoredPlacement | undefined): string {
  const {residency, stored} = residencyOf(record, placement);
  return residency === 'warm' && stored ? 'warm+stored' : residency;
}

/** Lists the apps of the configuration from their records. @returns the exit status */
export async function apps(files: readonly string[] | undefined, {json}: {json: boolean}): Promise<number> {
  const {config, connection} = await connectToGateway(files);
  await using owned = connection;
  const all = await openState(owned).listApps();
  const known = config.apps.map((app) => all.get(app.name)).filter((record) => record !== undefined);
  const placements = await openPlacements(owned).read();
  const records = known.filter((record): record is AppRecord => !(record instanceof Error));
  for (const damaged of known.filter((record) => record instanceof Error)) process.stderr.write(`picogate: ${damaged.message}\n`);
  const pinnedApps = new Set<string>(config.apps.filter(({pin}) => pin).map(({name}) => name));
  const isPinned = ({name, pin}: AppRecord): boolean => pinnedApps.has(name) || (pin !== null && (pin.until ?? Number.POSITIVE_INFINITY) > Date.now());
  if (json) {
    printJson(records.map((record) => ({...publicRecord(record, placements.get(record.name)), pinned: isPinned(record)})));
  } else {
    const now = Date.now();
    process.stdout.write(
      table(
        ['NAME', 'STATE', 'RESIDENCY', 'GENERATION', 'SINCE', 'LAST WAKE', 'PAGES', 'FAULTS', 'LAST SLEEP', 'WRITTEN'],
        records.map((record) => [
          record.name,
          isPinned(record) ? `${record.state} (pinned)` : record.state,
          residencyText(record, placements.get(record.name)),
          record.generation === null ? '-' : String(record.generation),
          ago(record.since, now),
          record.lastWake === null ? '-' : milliseconds(record.lastWake.ms),
          record.lastWake === null ? '-' : String(record.lastWake.predictedPages),
          record.lastWake === null ? '-' : String(record.lastWake.faults),
          record.lastHibernate === null ? '-' : milliseconds(record.lastHibernate.ms),
          record.lastHibernate === null ? '-' : bytes(record.lastHibernate.bytesWritten),
        ]),
      ),
    );
  }
  return known.length === records.length ? 0 : 1;
}
