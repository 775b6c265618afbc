/**
 * A `mode udp` frontend: its bound sockets, and the sessions (udp-session-table.ts) to which their datagrams belong.
 */
import {assert} from '../core/errors.ts';
import {errnoName} from '../core/libc.ts';
import type {Log} from '../core/log.ts';
import type {BoundAddress} from './addresses.ts';
import {newCounters} from './counters.ts';
import {openDatagramSockets} from './datagram-sockets.ts';
import type {Frontend} from './frontend.ts';
import type {ListeningSockets} from './listening-sockets.ts';
import {processPoller} from './polling/poller.ts';
import {UdpSessionTable, type UdpSessionTableOptions} from './udp-session-table.ts';

export interface UdpFrontendOptions extends Omit<UdpSessionTableOptions, 'counters' | 'poller'> {
  readonly ipv6Only: (port: number) => boolean;
  /** Shared with other generations of the configuration. */
  readonly sockets?: ListeningSockets | undefined;
  readonly log: Log;
}

/** @throws CodedError ERR_BIND, SystemCallError when the system cannot do it; what was bound before is closed again */
export async function openUdpFrontend(options: UdpFrontendOptions): Promise<Frontend> {
  const {config, log} = options;
  assert(options.proxyCodec !== undefined || !config.binds.some(({acceptProxy}) => acceptProxy), `Frontend "${config.name}" cannot read PROXY headers`);
  const counters = newCounters();
  await using scope = new AsyncDisposableStack();
  const table = new UdpSessionTable({...options, counters, poller: processPoller()});
  const datagrams = options.sockets?.datagrams ?? openDatagramSockets();
  const addresses: BoundAddress[] = [];
  for (const bind of config.binds) {
    const taken = scope.use(await datagrams.take({frontend: config.name, bind, ipv6Only: options.ipv6Only(bind.port)}));
    const {socket} = taken;
    const receiver = table.addReceiver(bind.acceptProxy);
    taken.receive({
      onDatagram: (datagram) => receiver.receive(datagram, socket.replies),
      onError: (errno) => log.error({frontend: config.name, reason: errnoName(errno)}, 'datagram socket'),
      onLost(errno) {
        counters.datagramsDropped++;
        // The client's host may be gone; its session ends by its time-out.
        log.debug({frontend: config.name, reason: errnoName(errno)}, 'answer not sent');
      },
    });
    addresses.push({frontend: config.name, protocol: 'udp', host: socket.host, port: socket.port});
  }
  const owned = scope.move();
  const closed = table.drained.then(() => owned.disposeAsync());
  return {
    name: config.name,
    addresses,
    counters,
    listeners: [],
    admission: null,
    stopAccepting: () => table.stop(),
    sessions: () => table.list(),
    ended: () => closed,
    cut: () => table.cut(),
  };
}
