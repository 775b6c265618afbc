import type {AppControl} from '../admin/gateway-control.ts';
import type {App} from '../supervisor/app.ts';
import type {AppRuntime} from './app-runtime.ts';

/** An app as the runtime API sees it. */
export function appControl(name: string, {supervisor}: AppRuntime): AppControl {
  const find = (): App | null => supervisor.app(name) ?? null;
  const status = find()?.status();
  const {lastWake = null, lastHibernate = null, lastError = null} = status ?? {};
  return {
    name,
    state: status?.state ?? 'unknown',
    address: find()?.address ?? null,
    lastWake: lastWake === null ? null : {atMs: lastWake.at, tookMs: lastWake.ms, trigger: lastWake.trigger},
    lastHibernate: lastHibernate === null ? null : {atMs: lastHibernate.at, tookMs: lastHibernate.ms, bytesWritten: lastHibernate.bytesWritten},
    lastError: lastError?.message ?? null,
    async wake() {
      await (await supervisor.ready(name)).wake({kind: 'operator'});
    },
    hibernate: async () => (await find()?.hibernate({force: false})) ?? 'cancelled',
  };
}
