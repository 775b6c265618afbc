import type {AppRecord} from '../store/app-record.ts';
import type {Json} from '../store/json.ts';
import {openPlacements, residencyOf, type StoredPlacement} from '../store/placements.ts';
import {openState} from '../store/state.ts';
import {allApps, type ListedApp, originText} from './added-app.ts';
import {ago, bytes, milliseconds} from './format.ts';
import {type Column, type Listing, type ListingOptions, list} from './listing.ts';
import {connectToGateway} from './remote.ts';
import {stateStyle} from './state-style.ts';

/** The public form of a record: what `apps --json` promises, and more. */
export function publicRecord(record: AppRecord, placement: StoredPlacement | undefined): Readonly<Record<string, Json>> {
  const {details: _details, index: _index, lastWake, lastHibernate, lastError, lastExit, pin, ...rest} = record;
  return {
    ...rest,
    ...residencyOf(record, placement),
    lastWake: lastWake && {...lastWake},
    lastHibernate: lastHibernate && {...lastHibernate},
    lastError: lastError && {...lastError},
    lastExit: lastExit && {...lastExit},
    pin: pin && {...pin},
  };
}

function residencyText(record: AppRecord, placement: StoredPlacement | undefined): string {
  const {residency, stored} = residencyOf(record, placement);
  return residency === 'warm' && stored ? 'warm+stored' : residency;
}

interface AppRow {
  readonly record: AppRecord;
  readonly placement: StoredPlacement | undefined;
  readonly isPinned: boolean;
  readonly listed: ListedApp | null;
}

/** What went wrong since it last woke or fell asleep. */
function standingError({lastError, lastWake, lastHibernate}: AppRecord): AppRecord['lastError'] {
  return lastError !== null && lastError.at > Math.max(lastWake?.at ?? 0, lastHibernate?.at ?? 0) ? lastError : null;
}

function columnsAt(nowMs: number): readonly Column<AppRow>[] {
  const count = (value: number | undefined): number | null => value ?? null;
  return [
    {head: 'NAME', name: 'name', value: ({record}) => record.name, shortest: 12},
    {
      head: 'STATE',
      name: 'state',
      value: ({record}) => record.state,
      text: ({record, isPinned}) => (isPinned ? `${record.state} (pinned)` : record.state),
      style: ({record}) => stateStyle(record.state),
    },
    {
      head: 'ORIGIN',
      name: 'origin',
      value: ({listed}) => listed?.origin ?? 'file',
      text: ({listed}) => (listed === null ? 'file' : originText(listed)),
      rank: 9,
    },
    {head: 'RESIDENCY', name: 'residency', value: ({record, placement}) => residencyText(record, placement), rank: 2},
    {head: 'GENERATION', name: 'generation', value: ({record}) => record.generation, rank: 7},
    {head: 'SINCE', name: 'since', value: ({record}) => record.since, text: ({record}) => ago(record.since, nowMs), rank: 1},
    {
      head: 'LAST WAKE',
      name: 'last_wake_ms',
      value: ({record}) => count(record.lastWake?.ms),
      text: ({record}) => (record.lastWake === null ? '-' : milliseconds(record.lastWake.ms)),
      rank: 3,
    },
    {head: 'PAGES', name: 'last_wake_pages', value: ({record}) => count(record.lastWake?.predictedPages), rank: 8},
    {head: 'FAULTS', name: 'last_wake_faults', value: ({record}) => count(record.lastWake?.faults), rank: 6},
    {
      head: 'LAST SLEEP',
      name: 'last_sleep_ms',
      value: ({record}) => count(record.lastHibernate?.ms),
      text: ({record}) => (record.lastHibernate === null ? '-' : milliseconds(record.lastHibernate.ms)),
      rank: 4,
    },
    {
      head: 'WRITTEN',
      name: 'last_sleep_bytes',
      value: ({record}) => count(record.lastHibernate?.bytesWritten),
      text: ({record}) => (record.lastHibernate === null ? '-' : bytes(record.lastHibernate.bytesWritten)),
      rank: 5,
    },
  ];
}

/** Shown where there is one. */
function errorColumn(nowMs: number): Column<AppRow> {
  return {
    head: 'ERROR',
    name: 'error',
    value: ({record}) => standingError(record)?.message ?? null,
    text({record}) {
      const error = standingError(record);
      return error === null ? '-' : `${ago(error.at, nowMs)}: ${error.message.split('\n')[0]}`;
    },
    style: ({record}) => (standingError(record) === null ? null : 'red'),
    shortest: 20,
  };
}

/** Lists the apps of the configuration from their records. @returns the exit status */
export function apps(files: readonly string[] | undefined, options: ListingOptions): Promise<number> {
  return list(options, async (): Promise<Listing<AppRow>> => {
    const gateway = await connectToGateway(files);
    await using owned = gateway.connection;
    const {config, apps: listed} = await allApps(gateway, owned);
    const origins = new Map<string, ListedApp>(listed.map((app) => [app.name, app]));
    const all = await openState(owned).listApps();
    const known = config.apps.map((app) => all.get(app.name)).filter((record) => record !== undefined);
    const placements = await openPlacements(owned).read();
    const records = known.filter((record): record is AppRecord => !(record instanceof Error));
    for (const damaged of known.filter((record) => record instanceof Error)) process.stderr.write(`picogate: ${damaged.message}\n`);
    const pinnedApps = new Set<string>(config.apps.filter(({pin}) => pin).map(({name}) => name));
    const nowMs = Date.now();
    const isPinned = ({name, pin}: AppRecord): boolean => pinnedApps.has(name) || (pin !== null && (pin.until ?? Number.POSITIVE_INFINITY) > nowMs);
    const isShown = options.csv === true || records.some((record) => standingError(record) !== null);
    return {
      columns: [...columnsAt(nowMs), ...(isShown ? [errorColumn(nowMs)] : [])],
      rows: records.map((record) => ({record, placement: placements.get(record.name), isPinned: isPinned(record), listed: origins.get(record.name) ?? null})),
      json: (rows) =>
        rows.map(({record, placement, isPinned: pinned, listed: app}) => ({
          ...publicRecord(record, placement),
          pinned,
          origin: app?.origin ?? 'file',
          alsoAdded: app?.origin === 'file' && app.added !== null,
        })),
      exitStatus: known.length === records.length ? 0 : 1,
    };
  });
}
