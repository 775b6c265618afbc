/** What could not be read, as the runtime API shows it: with the numbers of proxies and servers, in the order of the configuration. */
import type {GatewayControl, ShownProxy, UnreadMessage} from '../admin/gateway-control.ts';
import type {Config} from '../config/value.ts';
import type {EdgeParts} from '../edge/edge-parts.ts';
import {proxyNumbers} from './proxy-numbers.ts';

export function unreadMessages(config: Config, {captures, pools}: EdgeParts): ReturnType<GatewayControl['unreadMessages']> {
  const numbers = proxyNumbers(config);
  const shownFrontend = (name: string): ShownProxy => {
    const frontend = config.frontends.find((one) => one.name === name);
    return {name, id: frontend === undefined ? -1 : (numbers.get(frontend) ?? -1)};
  };
  const shownBackend = (name: string): ShownProxy => {
    const pool = pools.get(name);
    return {name, id: pool === null ? -1 : (numbers.get(pool.config) ?? -1)};
  };
  const last = captures.list().map(({source, frontend, backend, server, ...message}): UnreadMessage => {
    const id = backend === null ? undefined : pools.get(backend)?.servers.find(({name}) => name === server)?.id;
    return {
      ...message,
      client: source,
      frontend: shownFrontend(frontend),
      backend: backend === null ? null : shownBackend(backend),
      server: server === null ? null : {name: server, id: id ?? -1},
    };
  });
  const owner = (message: UnreadMessage): number => (message.kind === 'request' ? message.frontend.id : (message.backend?.id ?? -1));
  return {count: captures.count, last: last.sort((a, b) => owner(a) - owner(b) || a.kind.localeCompare(b.kind))};
}
