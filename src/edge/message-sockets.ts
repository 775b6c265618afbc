/**
 * Sockets of datagrams for those who answer each message themselves, shared like listening ones (listening-sockets.ts): a message is offered to the
 * generations in their order, until one takes it. Those that pass datagrams on have faster ones (datagram-sockets.ts).
 */
import type {RemoteInfo, Socket} from 'node:dgram';
import type {Bind} from '../config/proxy-value.ts';
import {bindHost} from './addresses.ts';
import {bindUdpSocket} from './udp-socket.ts';

/** @returns whether it was for this one */
export type MessageReceiver = (message: Buffer, from: RemoteInfo) => boolean;

export interface SharedMessageSocket extends Disposable {
  /** To send, and to ask for its address; it belongs to all who share it. */
  readonly socket: Socket;
  /** From now on messages are offered to `receiver`, after those who came before it, until this is disposed. */
  receive(receiver: MessageReceiver): void;
}

export interface MessageSockets {
  /** @throws CodedError ERR_BIND */
  take(options: {readonly frontend: string; readonly bind: Bind; readonly ipv6Only: boolean}): Promise<SharedMessageSocket>;
}

interface Entry {
  readonly socket: Socket;
  users: number;
  /** The oldest first. */
  receivers: readonly MessageReceiver[];
}

export function openMessageSockets(): MessageSockets {
  const entries = new Map<string, Entry>();

  const open = async (frontend: string, bind: Bind, ipv6Only: boolean): Promise<Entry> => {
    const entry: Entry = {socket: await bindUdpSocket(frontend, bind, ipv6Only), users: 0, receivers: []};
    entry.socket.on('message', (message, from) => {
      for (const receiver of entry.receivers) if (receiver(message, from)) return;
    });
    return entry;
  };

  return {
    async take({frontend, bind, ipv6Only}) {
      // Any free port is another one each time.
      const key = bind.port === 0 ? null : [bindHost(bind), bind.port, ipv6Only].join(' ');
      const entry = (key === null ? undefined : entries.get(key)) ?? (await open(frontend, bind, ipv6Only));
      if (key !== null) entries.set(key, entry);
      return share(entry, () => {
        if (key !== null) entries.delete(key);
      });
    },
  };
}

function share(entry: Entry, forget: () => void): SharedMessageSocket {
  let mine: MessageReceiver | null = null;
  let used = true;
  entry.users++;
  return {
    socket: entry.socket,
    receive(receiver) {
      mine = receiver;
      entry.receivers = [...entry.receivers, receiver];
    },
    [Symbol.dispose]() {
      if (!used) return;
      used = false;
      entry.receivers = entry.receivers.filter((receiver) => receiver !== mine);
      entry.users--;
      if (entry.users > 0) return;
      forget();
      entry.socket.close();
    },
  };
}
