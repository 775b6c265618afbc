/** The listening sockets of a thread: the first one makes them, so that each address is bound once, and hands out descriptors of them. */
import {openDatagramSockets} from '../../edge/datagram-sockets.ts';
import type {ListeningSockets} from '../../edge/listening-sockets.ts';
import type {Channel} from './channel.ts';
import type {FromThread, TakenSocket, ToThread} from './thread-messages.ts';

export function threadSockets(channel: () => Channel<FromThread, ToThread>): ListeningSockets {
  let size = 0;
  return {
    datagrams: openDatagramSockets(),
    get size() {
      return size;
    },
    async take({frontend, bind, ipv6Only}) {
      const {socket, fd, backlog} = await channel().ask<TakenSocket>({kind: 'take', frontend, bind, ipv6Only});
      size++;
      let used = true;
      return {
        fd,
        backlog,
        isElsewhere: true,
        hasOthers: false,
        [Symbol.dispose]() {
          if (!used) return;
          used = false;
          size--;
          channel().tell({kind: 'release', socket});
        },
      };
    },
  };
}
