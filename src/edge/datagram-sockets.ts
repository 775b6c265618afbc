/**
 * Datagram sockets by address, shared like listening ones (listening-sockets.ts). There is no backlog from which each could take what is its
 * own: a datagram is offered to the generations in their order, so that the sessions of an old one go on, and nothing is lost.
 */
import type {Bind} from '../config/proxy-value.ts';
import {bindHost} from './addresses.ts';
import {type BoundSocket, openBoundSocket} from './datagrams/bound-socket.ts';
import {datagramPoller} from './datagrams/datagram-poller.ts';
import type {ReceivedDatagram} from './datagrams/received-datagram.ts';

export interface DatagramReceiver {
  /** The datagram is valid during the call. @returns whether it was for this one */
  onDatagram(datagram: ReceivedDatagram): boolean;
  /** Receiving failed; the socket goes on. Told to the newest only, as is `onLost`. */
  onError(errno: number): void;
  /** An answer was not sent. */
  onLost(errno: number): void;
}

export interface SharedDatagramSocket extends Disposable {
  /** To send, and to ask for its address; it belongs to all who share it. */
  readonly socket: BoundSocket;
  /** From now on datagrams are offered to `receiver`, after those who came before it, until this is disposed. */
  receive(receiver: DatagramReceiver): void;
}

export interface DatagramSockets {
  /** @throws CodedError ERR_BIND, SystemCallError when the system cannot do it */
  take(options: {readonly frontend: string; readonly bind: Bind; readonly ipv6Only: boolean}): Promise<SharedDatagramSocket>;
}

interface Entry extends Disposable {
  readonly socket: BoundSocket;
  users: number;
  /** The oldest first. */
  readonly receivers: DatagramReceiver[];
}

export function openDatagramSockets(): DatagramSockets {
  const entries = new Map<string, Entry>();
  return {
    async take({frontend, bind, ipv6Only}) {
      const key = keyOf(bind, ipv6Only);
      const entry = (key === null ? undefined : entries.get(key)) ?? (await openEntry(frontend, bind, ipv6Only));
      if (key !== null) entries.set(key, entry);
      return share(entry, () => {
        if (key !== null) entries.delete(key);
      });
    },
  };
}

/** Null: nobody else can have the socket. */
function keyOf(bind: Bind, ipv6Only: boolean): string | null {
  if (bind.inheritedFd !== null) return `fd@${bind.inheritedFd}`;
  // Any free port is another one each time.
  if (bind.port === 0) return null;
  return [bindHost(bind), bind.port, ipv6Only, bind.v6only, bind.transparent, bind.interface].join(' ');
}

async function openEntry(frontend: string, bind: Bind, ipv6Only: boolean): Promise<Entry> {
  const receivers: DatagramReceiver[] = [];
  const socket = await openBoundSocket({
    frontend,
    bind,
    ipv6Only,
    poller: datagramPoller(),
    events: {
      onDatagram(datagram) {
        for (const receiver of receivers) if (receiver.onDatagram(datagram)) return;
      },
      onError: (errno) => receivers.at(-1)?.onError(errno),
      onLost: (errno) => receivers.at(-1)?.onLost(errno),
    },
  });
  return {socket, users: 0, receivers, [Symbol.dispose]: () => socket[Symbol.dispose]()};
}

function share(entry: Entry, forget: () => void): SharedDatagramSocket {
  let mine: DatagramReceiver | null = null;
  let used = true;
  entry.users++;
  return {
    socket: entry.socket,
    receive(receiver) {
      mine = receiver;
      entry.receivers.push(receiver);
    },
    [Symbol.dispose]() {
      if (!used) return;
      used = false;
      if (mine !== null) entry.receivers.splice(entry.receivers.indexOf(mine), 1);
      entry.users--;
      if (entry.users > 0) return;
      forget();
      entry[Symbol.dispose]();
    },
  };
}
