/** Sends netlink requests and waits for their result: tens of microseconds each, without a process or a thread. */
import {constants} from 'node:os';
import {CodedError} from '../core/errors.ts';
import {close, errnoName, SystemCallError, socket, socketType, tryRecv, trySend} from '../core/libc.ts';
import {
  addRouteMessage,
  deleteRouteMessage,
  type ExpiringElement,
  type HostRoute,
  listSetMessage,
  parseReplies,
  parseSetElements,
  type Reply,
  replyResult,
} from './netlink.ts';

const netlinkFamily = 16;
const netlinkProtocol = {route: 0, netfilter: 12} as const;
const doNotWait = 0x40;

class NetlinkSocket implements Disposable {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(64 * 1024);
  #sequence = 0;
  #closed = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** @returns the negative errno or 0 that the kernel answered, and what came before it */
  request(render: (sequence: number) => Buffer): {readonly result: number; readonly replies: readonly Reply[]} {
    if (this.#closed) throw new CodedError('ERR_ASSERTION', 'A netlink socket is used after it was closed', {source: 'bug'});
    this.#sequence = (this.#sequence + 1) >>> 0;
    const data = render(this.#sequence);
    const sent = trySend(this.#fd, data, 0);
    if (sent !== data.length) throw new SystemCallError('send', -sent, 'a netlink request');
    const replies: Reply[] = [];
    for (;;) {
      // The kernel works on a request within the call that sends it, so its answer is there: there is nothing to wait for.
      const size = tryRecv(this.#fd, this.#buffer, doNotWait);
      if (size === -constants.errno.EINTR) continue;
      if (size < 0) throw new SystemCallError('receive', -size, 'a netlink answer');
      for (const reply of parseReplies(Buffer.from(this.#buffer.subarray(0, size)))) {
        if (reply.sequence !== this.#sequence) continue;
        const result = replyResult(reply);
        if (result !== null) return {result, replies};
        replies.push(reply);
      }
    }
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.#fd);
  }
}

function openSocket(protocol: number): NetlinkSocket {
  return new NetlinkSocket(socket(netlinkFamily, socketType.raw | socketType.closeOnExec, protocol));
}

/** Switches host routes, synchronously. */
export interface RouteSwitch extends Disposable {
  /** @throws CodedError ERR_ROUTE_FAILED */
  add(route: HostRoute): void;
  /** Removing what is not there is fine. @throws CodedError ERR_ROUTE_FAILED */
  remove(route: HostRoute): void;
}

function checkRoute(verb: string, result: number, harmless: readonly number[]): void {
  if (result === 0 || harmless.includes(-result)) return;
  throw new CodedError('ERR_ROUTE_FAILED', `Cannot ${verb} the route to an app: ${errnoName(-result)}`, {source: 'host'});
}

export function openRouteSwitch(): RouteSwitch {
  const netlink = openSocket(netlinkProtocol.route);
  const {ESRCH, ENODEV} = constants.errno;
  return {
    add: (route) => checkRoute('add', netlink.request((sequence) => addRouteMessage(route, sequence)).result, []),
    remove: (route) => checkRoute('remove', netlink.request((sequence) => deleteRouteMessage(route, sequence)).result, [ESRCH, ENODEV]),
    [Symbol.dispose]: () => netlink[Symbol.dispose](),
  };
}

/** Reads one nftables set of addresses with timeouts. */
export interface SetReader extends Disposable {
  /** @throws CodedError ERR_SET_UNREADABLE */
  read(): ExpiringElement[];
}

export function openSetReader(options: {table: string; set: string}): SetReader {
  const netlink = openSocket(netlinkProtocol.netfilter);
  const attempts = 3;
  return {
    read() {
      for (let attempt = 1; ; attempt++) {
        const {result, replies} = netlink.request((sequence) => listSetMessage(options, sequence));
        const interrupted = result === -constants.errno.EINTR || replies.some((reply) => reply.interrupted);
        if (result < 0 && !interrupted) {
          throw new CodedError('ERR_SET_UNREADABLE', `Cannot read nftables set "${options.set}" of table "${options.table}": ${errnoName(-result)}`, {
            source: 'host',
          });
        }
        // Another program is changing nftables. The elements that came are right; only the last try is taken with what may lack.
        if (!interrupted || attempt === attempts) return replies.flatMap(parseSetElements);
      }
    },
    [Symbol.dispose]: () => netlink[Symbol.dispose](),
  };
}
