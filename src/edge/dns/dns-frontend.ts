/** A `mode dns` frontend: its datagram sockets and its TCP listeners, which share zones, limits and resolvers. */
import type {FrontendConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import {assert, errorMessage} from '../../core/errors.ts';
import type {Log} from '../../core/log.ts';
import type {BoundAddress} from '../addresses.ts';
import type {AppAccess} from '../app-access.ts';
import {newCounters} from '../counters.ts';
import type {Frontend} from '../frontend.ts';
import {type ListeningSockets, openListeningSockets} from '../listening-sockets.ts';
import type {RefusalLog} from '../refusal-log.ts';
import {openTcpListener} from '../tcp-listener.ts';
import type {DnsApp} from './app-records.ts';
import {openAppWaker} from './app-waker.ts';
import {ConnectionTable} from './connection-table.ts';
import {DatagramService} from './datagram-service.ts';
import {openForwarder} from './forwarder.ts';
import {createResponder} from './responder.ts';

export interface DnsFrontendOptions {
  /** With `dns`. */
  readonly config: FrontendConfig;
  readonly apps: AppAccess;
  /** Apps that names stand for. @param name in lower case */
  readonly findApp: (name: string) => DnsApp | null;
  /** Which of the binds must leave IPv4 to another one. */
  readonly ipv6Only: (port: number) => boolean;
  /** Shared with other generations of the configuration. */
  readonly sockets?: ListeningSockets | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly refusals: RefusalLog;
}

/**
 * Binds all or nothing.
 * @throws CodedError ERR_BIND, ERR_BAD_DNS_RECORD, ERR_BAD_DNS_NAME
 */
export async function openDnsFrontend(options: DnsFrontendOptions): Promise<Frontend> {
  const {config, apps, clock, log, refusals, findApp, sockets = openListeningSockets()} = options;
  assert(config.dns !== null, `Frontend "${config.name}" has no zones`);
  const counters = newCounters();
  await using scope = new AsyncDisposableStack();
  const waker = scope.use(openAppWaker({frontend: config.name, apps, clock, counters, refusals}));
  const forwarder = config.dns.forwardTo.length === 0 ? null : scope.use(openForwarder(config.dns.forwardTo, clock));
  const responder = createResponder({config: config.dns, findApp, waker, forwarder, clock});
  const connections = new ConnectionTable({config, responder, clock, counters});
  const datagrams = new DatagramService(responder, counters, log, config.name);
  scope.defer(() => {
    datagrams.stop();
    connections.stop();
    connections.cut();
  });

  const addresses: BoundAddress[] = [];
  for (const bind of config.binds) {
    const ipv6Only = options.ipv6Only(bind.port);
    if (bind.protocol === 'udp') {
      const shared = await sockets.datagrams.take({frontend: config.name, bind, ipv6Only});
      datagrams.add(shared);
      addresses.push({frontend: config.name, protocol: 'udp', host: shared.socket.host, port: shared.socket.port});
    } else {
      const listener = await openTcpListener({
        frontend: config.name,
        bind,
        ipv6Only,
        sockets,
        onConnection: (client) => connections.admit(client),
        onError: (error) => log.error({frontend: config.name, reason: errorMessage(error)}, 'listener'),
      });
      connections.add(listener);
      addresses.push({frontend: config.name, protocol: 'tcp', host: listener.host, port: listener.port});
    }
  }
  const owned = scope.move();
  const ended = Promise.all([datagrams.drained, connections.drained]).then(() => owned.disposeAsync());
  return {
    name: config.name,
    addresses,
    counters,
    listeners: [],
    admission: null,
    stopAccepting() {
      datagrams.stop();
      connections.stop();
    },
    sessions: () => connections.list(),
    ended: () => ended,
    cut() {
      forwarder?.[Symbol.dispose]();
      connections.cut();
    },
  };
}
