import {CodedError} from '../core/errors.ts';
import {appName} from '../core/ids.ts';
import {callControl} from '../store/control.ts';
import type {Json} from '../store/json.ts';
import {openPlacements} from '../store/placements.ts';
import {openState} from '../store/state.ts';
import {allApps} from './added-app.ts';
import {publicRecord} from './apps.ts';
import {type Cell, type Column, type DisplayOptions, display, listingCsv, listingTable} from './listing.ts';
import {connectToGateway} from './remote.ts';

/** What has a structure stays JSON. */
function cell(value: Json): Cell {
  return value !== null && typeof value === 'object' ? JSON.stringify(value) : value;
}

function fieldsOf(value: Json): {readonly [name: string]: Json} {
  return typeof value === 'object' && value !== null && !('length' in value) ? value : {};
}

/** Everything about one app: its record, and what the gateway knows at this moment. @returns the exit status */
export async function show(files: readonly string[] | undefined, name: string, options: DisplayOptions): Promise<number> {
  return display(options, async () => {
    const facts = await factsOf(files, name);
    const listing = {columns, rows: Object.entries(facts)};
    return {json: facts, text: (width) => listingTable(listing, width).replace(/^\s*\n/, ''), csv: (how) => listingCsv(listing, how)};
  });
}

/** People need no names of these columns. */
const columns: readonly Column<readonly [string, Json]>[] = [
  {head: '', name: 'field', value: ([field]) => field},
  {head: '', name: 'value', value: ([, value]) => cell(value)},
];

async function factsOf(files: readonly string[] | undefined, name: string): Promise<Readonly<Record<string, Json>>> {
  const gateway = await connectToGateway(files);
  await using owned = gateway.connection;
  const record = await openState(owned).readApp(appName(name));
  if (record === null) throw new CodedError('ERR_UNKNOWN_APP', `Cannot find app "${name}"`, {source: 'client'});
  const placement = (await openPlacements(owned).read()).get(name);
  const live = await callControl(owned, 'show', {name}, {timeoutMs: 10_000});
  const {apps} = await allApps(gateway, owned);
  const origin = apps.find((app) => app.name === name)?.origin ?? null;
  return {...publicRecord(record, placement), origin, ...fieldsOf(live)};
}
