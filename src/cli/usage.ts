import {limited} from '../core/limited.ts';
import {openUsage} from '../store/usage.ts';
import {connectToGateway, printJson} from './remote.ts';
import {usageCsv, usageReport, usageTable} from './usage-report.ts';

const readsAtATime = 64;

/** Prints what each app has used. @param options.since days since 1970; null: of all time. @returns the exit status */
export async function usage(files: readonly string[] | undefined, options: {since: number | null; json: boolean; csv: boolean}): Promise<number> {
  const {config, connection} = await connectToGateway(files);
  await using owned = connection;
  const store = openUsage(owned);
  const now = Date.now();
  const apps = await store.apps();
  const usages = await limited(apps, readsAtATime, (app) => store.read(app, now));
  const configured = new Set(config.apps.map(({name}) => name));
  // Apps that are not configured any more have used something, or are of no interest.
  const used = apps.flatMap((app, at) => {
    const found = usages[at];
    return found === undefined || (found.days.size === 0 && !configured.has(app)) ? [] : [[app, found] as const];
  });
  const report = usageReport(new Map(used), {sinceDay: options.since, rates: config.global.rates});
  if (options.json) printJson(report);
  else process.stdout.write(options.csv ? usageCsv(report) : usageTable(report));
  return 0;
}
