import type {Config} from '../config/value.ts';
import {limited} from '../core/limited.ts';
import {openUsage, type Usage} from '../store/usage.ts';
import {type ListingOptions, list} from './listing.ts';
import {connectToGateway} from './remote.ts';
import {type UsageReport, usageListing, usageReport} from './usage-report.ts';

const readsAtATime = 64;

/** Prints what each app has used. @param options.since days since 1970; null: of all time. @returns the exit status */
export function usage(files: readonly string[] | undefined, options: ListingOptions & {since: number | null}): Promise<number> {
  return list(options, async () => {
    const {config, connection} = await connectToGateway(files);
    await using owned = connection;
    return usageListing(await reportOf(openUsage(owned), config, options.since));
  });
}

async function reportOf(store: Usage, {apps: configuredApps, global}: Config, since: number | null): Promise<UsageReport> {
  const now = Date.now();
  const apps = await store.apps();
  const usages = await limited(apps, readsAtATime, (app) => store.read(app, now));
  const configured = new Set(configuredApps.map(({name}) => name));
  // Apps that are not configured any more have used something, or are of no interest.
  const used = apps.flatMap((app, at) => {
    const found = usages[at];
    return found === undefined || (found.days.size === 0 && !configured.has(app)) ? [] : [[app, found] as const];
  });
  return usageReport(new Map(used), {sinceDay: since, rates: global.rates});
}
