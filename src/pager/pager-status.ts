/** What the pager does for all apps at this moment, and has done since it started: for metrics, and for people who ask why an app waits. */
import type {InstanceStats} from './faults/fault-messages.ts';
import type {Parts} from './pager-parts.ts';
import {sum, totalsOf} from './paging-totals.ts';
import type {AppPaging, PagerStatus} from './protocol.ts';
import {statsOf} from './release-instance.ts';
import type {Served} from './served-instances.ts';

/** Never throws: an instance that ends meanwhile counts when it has. */
export async function pagerStatus(parts: Parts): Promise<PagerStatus> {
  const {served, tiering, ended} = parts;
  const apps = new Map<string, AppPaging>();
  const known = (app: string): AppPaging =>
    apps.get(app) ?? {app, ...ended.of(app), waiting: 0, waitingMs: null, waitingReason: null, missingPages: 0, standsStill: false};
  for (const app of ended.apps) apps.set(app, known(app));
  for (const {app} of served.late()) apps.set(app, {...known(app), standsStill: true});
  const stats = await Promise.all(served.all().map(async (one) => ({one, found: await statsOf(parts, one).catch(() => undefined)})));
  for (const {one, found} of stats) {
    if (found === undefined) continue;
    const {app} = one.checkpoint;
    apps.set(app, withInstance(known(app), one, found));
  }
  return {remote: (await tiering?.status()) ?? null, apps: [...apps.values()]};
}

/** An app has one instance that runs; another one may have been prepared, and waits for nothing. */
function withInstance(before: AppPaging, served: Served, stats: InstanceStats): AppPaging {
  return {
    ...before,
    ...sum(before, totalsOf(served, stats)),
    waiting: before.waiting + stats.waiting,
    waitingMs: stats.waitingMs ?? before.waitingMs,
    waitingReason: stats.waitingReason ?? before.waitingReason,
    missingPages: before.missingPages + stats.missing,
  };
}
