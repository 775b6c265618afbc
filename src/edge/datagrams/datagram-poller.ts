import {constants} from 'node:os';
import {SystemCallError} from '../../core/libc.ts';
import {type Poller, processPoller} from '../polling/poller.ts';
import {tryReceiveMany, trySendMany} from './datagram-calls.ts';
import {type DatagramSlots, openSlots} from './datagram-slots.ts';

/** What all sockets of datagrams share. The memory holds something during a turn of the poller only. */
export interface DatagramPoller {
  readonly poller: Poller;
  readonly incoming: DatagramSlots;
  readonly outgoing: DatagramSlots;
}

let shared: DatagramPoller | null = null;

/** That of the process. @throws SystemCallError when the system lacks what is needed */
export function datagramPoller(): DatagramPoller {
  shared ??= open();
  return shared;
}

function open(): DatagramPoller {
  for (const [name, call] of [
    ['recvmmsg', tryReceiveMany],
    ['sendmmsg', trySendMany],
  ] as const) {
    const errno = -call(-1, Buffer.alloc(64), 1);
    if (errno !== constants.errno.EBADF) throw new SystemCallError('use', errno, `${name}()`);
  }
  return {poller: processPoller(), incoming: openSlots(), outgoing: openSlots()};
}
