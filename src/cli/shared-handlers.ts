/** The admin commands where several workers share the apps: whoever takes one gives it to the worker that has the app. */
import {CodedError} from '../core/errors.ts';
import {type AppName, appName} from '../core/ids.ts';
import {parseTrigger} from '../core/trigger.ts';
import type {ControlHandler} from '../store/control-message.ts';
import type {Json} from '../store/json.ts';
import type {Cluster} from './cluster.ts';
import {endpointJson} from './endpoint.ts';

type Handlers = Readonly<Record<string, ControlHandler>>;

/** Nobody waits longer than the caller, who says so itself. */
const askMs = 10 * 60_000;
/** These are of a worker, not of an app. */
const ofWorkers: ReadonlySet<string> = new Set(['metrics', 'wake']);

/** @throws CodedError ERR_BAD_COMMAND */
export function textOf(args: Json, field: string): string {
  const value: unknown = typeof args === 'object' && args !== null ? Reflect.get(args, field) : undefined;
  if (typeof value === 'string') return value;
  throw new CodedError('ERR_BAD_COMMAND', `Cannot run the command: it has no ${field}`, {source: 'client'});
}

function isSet(args: Json, field: 'forwarded' | 'isChecked' | 'wasMissed'): boolean {
  return typeof args === 'object' && args !== null && Reflect.get(args, field) === true;
}

function routed(command: string, handler: ControlHandler, cluster: Cluster): ControlHandler {
  return async (args, signal) => {
    const name = typeof args === 'object' && args !== null && 'name' in args && typeof args.name === 'string' ? args.name : undefined;
    if (name === undefined || isSet(args, 'forwarded')) return handler(args, signal);
    const elsewhere = await cluster.holderElsewhere(appName(name));
    return elsewhere === null
      ? handler(args, signal)
      : cluster.ask(elsewhere, command, {...Object.fromEntries(Object.entries(args ?? {})), forwarded: true}, askMs);
  };
}

/** @param own what this worker does for an app that it has. @param finishUpload resolves when everything of an app is in the store */
export function sharedHandlers(own: Handlers, cluster: Cluster, finishUpload: (name: AppName) => Promise<void>): Handlers {
  const handlers: Record<string, ControlHandler> = {};
  for (const [command, handler] of Object.entries(own)) handlers[command] = ofWorkers.has(command) ? handler : routed(command, handler, cluster);
  return {
    ...handlers,
    async wake(args) {
      await cluster.reach(appName(textOf(args, 'name')), {kind: 'operator'});
      return 'running';
    },
    'wake here': async (args) => endpointJson(await cluster.wakeHere(appName(textOf(args, 'name')), parseTrigger(textOf(args, 'trigger')))),
    where: async (args) => endpointJson(await cluster.where(appName(textOf(args, 'name')), {isChecked: isSet(args, 'isChecked')})),
    async reach(args) {
      const name = appName(textOf(args, 'name'));
      if (isSet(args, 'wasMissed')) cluster.missed(name);
      return endpointJson(await cluster.reach(name, parseTrigger(textOf(args, 'trigger'))));
    },
    async drain() {
      const {moved, failed} = await cluster.drain(finishUpload);
      return {moved: [...moved], failed: failed.map((one) => ({...one}))};
    },
  };
}
