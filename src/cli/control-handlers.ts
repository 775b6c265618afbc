/** What the admin commands can ask of a running gateway. */
import {CodedError} from '../core/errors.ts';
import type {Pager} from '../pager/client.ts';
import type {ControlHandler} from '../store/control-message.ts';
import type {Json} from '../store/json.ts';
import type {App} from '../supervisor/app.ts';
import type {Supervisor} from '../supervisor/supervisor.ts';
import {execHandlers} from './exec-handlers.ts';
import {explainApp} from './explain.ts';
import {gatewaySnapshot, type SnapshotSources} from './gateway-snapshot.ts';
import {makeCold} from './make-cold.ts';
import {runningApps} from './top-handler.ts';

const maxLogLines = 10_000;

function requestedName(args: Json): string {
  const name = typeof args === 'object' && args !== null && 'name' in args ? args.name : undefined;
  if (typeof name !== 'string') throw new CodedError('ERR_BAD_COMMAND', 'Cannot run the command: it names no app', {source: 'client'});
  return name;
}

function requestedApp(supervisor: Supervisor, args: Json): App {
  return supervisor.app(requestedName(args));
}

function requestedLines(args: Json): number {
  const lines = typeof args === 'object' && args !== null && 'lines' in args ? args.lines : undefined;
  return typeof lines === 'number' ? Math.min(Math.max(1, lines), maxLogLines) : maxLogLines;
}

function says(args: Json, name: 'cold' | 'force'): boolean {
  return typeof args === 'object' && args !== null && Reflect.get(args, name) === true;
}

/** Null: without an end. */
function requestedEnd(args: Json): number | null {
  const forMs = typeof args === 'object' && args !== null && 'forMs' in args ? args.forMs : undefined;
  return typeof forMs === 'number' ? Date.now() + forMs : null;
}

/** Null without a remote store. */
async function storeOf(pager: Pick<Pager, 'placement'>, name: string): Promise<Json> {
  const placement = await pager.placement(name);
  return placement === null ? null : {...placement};
}

export interface ControlSources extends Omit<SnapshotSources, 'names'> {
  readonly supervisor: Supervisor;
  readonly pager: Pick<Pager, 'predicted' | 'memory' | 'placement' | 'status' | 'finishUpload' | 'dropLocal'>;
}

export function controlHandlers(sources: ControlSources): Readonly<Record<string, ControlHandler>> {
  const {supervisor, pager} = sources;
  return {
    async wake(args) {
      const app = await supervisor.ready(requestedName(args));
      await app.wake({kind: 'operator'});
      return 'running';
    },
    async hibernate(args) {
      const app = requestedApp(supervisor, args);
      await app.wakefulness.admitSleep({force: says(args, 'force'), remedy: '--force'});
      return says(args, 'cold') ? makeCold({app, name: requestedName(args)}, pager) : app.hibernate();
    },
    async pin(args) {
      const app = requestedApp(supervisor, args);
      const until = requestedEnd(args);
      await app.wakefulness.pin({until});
      return {until, state: app.status().state};
    },
    async unpin(args) {
      await requestedApp(supervisor, args).wakefulness.unpin();
      return 'unpinned';
    },
    show: async (args) => ({...(await requestedApp(supervisor, args).live()), store: await storeOf(pager, requestedName(args))}),
    explain: async (args) => explainApp(supervisor, sources, requestedName(args)),
    // The text is made of it where it is shown.
    metrics: async () => JSON.stringify(await gatewaySnapshot({...sources, names: [...supervisor.names()]})),
    top: async () => runningApps(supervisor),
    async predicted(args) {
      requestedApp(supervisor, args); // It must be one of ours.
      return pager.predicted(requestedName(args));
    },
    async memory(args) {
      requestedApp(supervisor, args); // It must be one of ours.
      return pager.memory(requestedName(args));
    },
    async logs(args) {
      const lines = (await requestedApp(supervisor, args).container.output()).trimEnd().split('\n');
      const text = lines.slice(-requestedLines(args)).join('\n');
      return text === '' ? '' : `${text}\n`;
    },
    ...execHandlers((args) => requestedApp(supervisor, args)),
  };
}
