import type {AppControl} from '../admin/gateway-control.ts';
import {appName} from '../core/ids.ts';
import type {AppRuntime} from './app-runtime.ts';

/** An app as the runtime API sees it. */
export function appControl(name: string, {supervisor, access}: AppRuntime): AppControl {
  const app = supervisor.app(name);
  const {state, lastWake, lastHibernate, lastError} = app.status();
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
      await app.wakefulness.admitSleep({force, remedy: `"hibernate app ${name} force"`});
      return app.hibernate();
    },
    pin: (untilMs) => app.wakefulness.pin({until: untilMs}),
    unpin: () => app.wakefulness.unpin(),
  };
}
