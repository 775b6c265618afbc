/** What an edge of another process asks a worker that is the only one: on its host, the app's own address can be reached. */
import {parseTrigger} from '../core/trigger.ts';
import type {Nat} from '../nat/nat.ts';
import type {ControlHandler} from '../store/control-message.ts';
import type {Supervisor} from '../supervisor/supervisor.ts';
import {endpointJson} from './endpoint.ts';
import {textOf} from './shared-handlers.ts';

export function onlyWorkerHandlers(supervisor: Supervisor, {gatewayAddress}: Nat): Readonly<Record<'reach' | 'where', ControlHandler>> {
  return {
    async reach(args) {
      const app = await supervisor.ready(textOf(args, 'name'));
      await app.wake(parseTrigger(textOf(args, 'trigger')));
      return endpointJson({host: app.address, ports: {}, from: gatewayAddress});
    },
    where: async (args) => endpointJson({host: supervisor.app(textOf(args, 'name')).address, ports: {}, from: gatewayAddress}),
  };
}
