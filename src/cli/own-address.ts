import {bindSocket, close, SystemCallError, socket, socketType} from '../core/libc.ts';
import {family, ipv4SocketAddress} from '../edge/socket-address.ts';

/** Whether an interface of this host has the IPv4 address now. Asked of the kernel by a bind, which costs less than a list of all interfaces. */
export function isOwnAddress(address: string): boolean {
  const fd = socket(family.ipv4, socketType.datagram | socketType.closeOnExec, 0);
  try {
    bindSocket(fd, ipv4SocketAddress(address, 0));
    return true;
  } catch (error) {
    if (error instanceof SystemCallError) return false;
    throw error;
  } finally {
    close(fd);
  }
}
