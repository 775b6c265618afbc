import {CodedError} from '../core/errors.ts';
import {close, open, SystemCallError, tryIoctl} from '../core/libc.ts';

const setInterface = 0x400454ca;
const flags = {tun: 1, noPacketInformation: 0x1000} as const;
const [readWrite, nonBlocking] = [2, 0o4000] as const;

/**
 * Makes a TUN that lasts as long as its descriptor, which the caller closes. Reads and writes are single IPv4 packets and do not block.
 * @throws CodedError ERR_NO_TUN when the kernel has none, or another gateway of this name runs
 */
export function openTun(name: string): number {
  let fd: number;
  try {
    fd = open('/dev/net/tun', readWrite | nonBlocking);
  } catch (cause) {
    throw new CodedError('ERR_NO_TUN', `Cannot make TUN interface "${name}"`, {source: 'host', cause});
  }
  const request = Buffer.alloc(40);
  request.write(name, 0, 15, 'latin1');
  request.writeUInt16LE(flags.tun | flags.noPacketInformation, 16);
  const result = tryIoctl(fd, setInterface, request);
  if (result >= 0) return fd;
  close(fd);
  throw new CodedError('ERR_NO_TUN', `Cannot make TUN interface "${name}"`, {source: 'host', cause: new SystemCallError('ioctl', -result, '"/dev/net/tun"')});
}
