import type {AppControl} from '../admin/gateway-control.ts';
import type {Config} from '../config/value.ts';
import {CodedError} from '../core/errors.ts';
import {appName} from '../core/ids.ts';
import type {AppRecord} from '../store/app-record.ts';
import {openState} from '../store/state.ts';
import type {AppRuntime} from './app-runtime.ts';

type Facts = Pick<AppRecord, 'state' | 'lastWake' | 'lastHibernate' | 'lastError'>;

/** An app as the runtime API sees it. @param record of one that is another worker's; null: it is this one's */
export function appControl(name: string, {supervisor, access, commands}: AppRuntime, record: AppRecord | null = null): AppControl {
  const app = supervisor.app(name);
  const {state, lastWake, lastHibernate, lastError}: Facts = record ?? app.status();
  const {pinned} = app.wakefulness;
  return {
    name,
    state,
    address: app.address,
    lastWake: lastWake === null ? null : {atMs: lastWake.at, tookMs: lastWake.ms, trigger: lastWake.trigger},
    lastHibernate: lastHibernate === null ? null : {atMs: lastHibernate.at, tookMs: lastHibernate.ms, bytesWritten: lastHibernate.bytesWritten},
    lastError: lastError?.message ?? null,
    pinned: pinned === null ? null : {by: pinned.by, untilMs: pinned.until},
    async wake() {
      // Wherever it is, as for a client.
      await access.wake(appName(name), {kind: 'operator'}, new AbortController().signal);
    },
    async hibernate({force}) {
      if (record === null) {
        await app.wakefulness.admitSleep({force, remedy: `"hibernate app ${name} force"`});
        return app.hibernate();
      }
      const outcome = await commands['hibernate']?.({name, force}, new AbortController().signal);
      if (outcome === 'hibernated' || outcome === 'cancelled') return outcome;
      throw new CodedError('ERR_BAD_STATE', `Cannot put app "${name}" to sleep: the answer cannot be read`, {source: 'host'});
    },
    pin: (untilMs) => app.wakefulness.pin({until: untilMs}),
    unpin: () => app.wakefulness.unpin(),
  };
}

/** The apps as they are at whichever worker has them. @throws CodedError ERR_REDIS_UNAVAILABLE */
export async function appsAnywhere({apps, global}: Config, runtime: AppRuntime): Promise<readonly AppControl[]> {
  const records = global.worker === null ? null : await openState(runtime.connection).listApps();
  return apps.map(({name}) => {
    const record = records?.get(name);
    const isHere = runtime.supervisor.app(name).isHere || record === undefined || record instanceof Error;
    return appControl(name, runtime, isHere ? null : record);
  });
}
