import {CodedError} from '../core/errors.ts';
import {appName} from '../core/ids.ts';
import {callControl} from '../store/control.ts';
import type {Json} from '../store/json.ts';
import {openPlacements} from '../store/placements.ts';
import {openState} from '../store/state.ts';
import {allApps} from './added-app.ts';
import {publicRecord} from './apps.ts';
import {table} from './format.ts';
import {connectToGateway, printJson} from './remote.ts';

function text(value: Json): string {
  return value === null ? '-' : typeof value === 'string' ? value : JSON.stringify(value);
}

function fieldsOf(value: Json): {readonly [name: string]: Json} {
  return typeof value === 'object' && value !== null && !('length' in value) ? value : {};
}

/** Everything about one app: its record, and what the gateway knows at this moment. @returns the exit status */
export async function show(files: readonly string[] | undefined, name: string, {json}: {json: boolean}): Promise<number> {
  const gateway = await connectToGateway(files);
  await using owned = gateway.connection;
  const record = await openState(owned).readApp(appName(name));
  if (record === null) throw new CodedError('ERR_UNKNOWN_APP', `Cannot find app "${name}"`, {source: 'client'});
  const placement = (await openPlacements(owned).read()).get(name);
  const live = await callControl(owned, 'show', {name}, {timeoutMs: 10_000});
  const {apps} = await allApps(gateway, owned);
  const origin = apps.find((app) => app.name === name)?.origin ?? null;
  const all: Readonly<Record<string, Json>> = {...publicRecord(record, placement), origin, ...fieldsOf(live)};
  if (json) printJson(all);
  else
    process.stdout.write(
      table(
        ['', ''],
        Object.entries(all).map(([key, value]) => [key, text(value)]),
      ).replace(/^\s*\n/, ''),
    );
  return 0;
}
