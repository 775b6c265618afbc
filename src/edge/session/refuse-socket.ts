/** How a client is refused by a rule. */
import {SystemCallError, setSocketOption} from '../../core/libc.ts';
import {descriptorOf} from '../../core/socket-descriptor.ts';
import type {ByteStream} from '../streams/byte-stream.ts';
import {StreamSocket} from '../streams/stream-socket.ts';

/** TCP_REPAIR, linux/tcp.h: a socket in repair mode is closed without a packet. */
const tcp = {level: 6, repair: 19} as const;

/**
 * As HAProxy does: `reject` ends the connection properly, also when the client has said what nobody read; `reset` is for who has no session yet;
 * `silent-drop` leaves the client waiting where the system allows that (CAP_NET_ADMIN), else resets.
 */
export function refuseSocket(socket: ByteStream, how: 'reject' | 'reset' | 'silent-drop'): void {
  socket.on('error', () => {
    // It is gone already.
  });
  if (how === 'reject') socket.destroySoon();
  else if (how === 'silent-drop' && repair(socket)) socket.destroy();
  else socket.resetAndDestroy();
}

function repair(socket: ByteStream): boolean {
  const fd = socket instanceof StreamSocket ? socket.fd : descriptorOf(socket);
  if (fd < 0) return false;
  try {
    setSocketOption(fd, tcp.level, tcp.repair, 1);
    return true;
  } catch (error) {
    if (error instanceof SystemCallError) return false;
    throw error;
  }
}
