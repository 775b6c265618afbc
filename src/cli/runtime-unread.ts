/** What could not be read, as the runtime API shows it: with the numbers of proxies and servers, in the order of the configuration. */
import type {GatewayControl, ShownProxy, UnreadMessage} from '../admin/gateway-control.ts';
import type {Config} from '../config/value.ts';
import type {EdgeParts} from '../edge/edge-parts.ts';
import type {CapturedMessage} from '../edge/http/message-captures.ts';
import {proxyNumbers} from './proxy-numbers.ts';
import type {GenerationSnapshot} from './threads/thread-snapshot.ts';

export function unreadMessages(
  config: Config,
  {captures, pools}: EdgeParts,
  others: readonly GenerationSnapshot[],
): ReturnType<GatewayControl['unreadMessages']> {
  const numbers = proxyNumbers(config);
  const shownFrontend = (name: string): ShownProxy => {
    const frontend = config.frontends.find((one) => one.name === name);
    return {name, id: frontend === undefined ? -1 : (numbers.get(frontend) ?? -1)};
  };
  const shownBackend = (name: string): ShownProxy => {
    const pool = pools.get(name);
    return {name, id: pool === null ? -1 : (numbers.get(pool.config) ?? -1)};
  };
  const last = newestOf([captures.list(), ...others.map(({unread}) => unread)]).map(({source, frontend, backend, server, ...message}): UnreadMessage => {
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
  return {
    count: others.reduce((sum, {unreadCount}) => sum + unreadCount, captures.count),
    last: last.sort((a, b) => owner(a) - owner(b) || a.kind.localeCompare(b.kind)),
  };
}

/** Of each proxy the last one, whichever thread has met it. */
function newestOf(lists: readonly (readonly CapturedMessage[])[]): readonly CapturedMessage[] {
  const newest = new Map<string, CapturedMessage>();
  for (const message of lists.flat()) {
    const key = `${message.kind} ${message.kind === 'request' ? message.frontend : (message.backend ?? '')}`;
    if ((newest.get(key)?.atMs ?? Number.NEGATIVE_INFINITY) <= message.atMs) newest.set(key, message);
  }
  return [...newest.values()];
}
