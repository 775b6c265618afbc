/** What of another process can be reached without its doing: its memory and its descriptors. Needs the rights of ptrace(2). */
import koffi from 'koffi';
import {close, libc, SystemCallError, trySyscall} from './libc.ts';

interface VectorCall {
  async(...values: readonly unknown[]): void;
}

const vectorArguments = 'int pid, const void *local, unsigned long locals, const void *remote, unsigned long remotes, unsigned long flags';
const readv: VectorCall = libc.func(`long process_vm_readv(${vectorArguments})`);
const writev: VectorCall = libc.func(`long process_vm_writev(${vectorArguments})`);
const timerfdSettime: (fd: number, flags: number, value: Buffer, old: null) => number = libc.func(
  'int timerfd_settime(int fd, int flags, const void *value, void *old)',
);
const pidfdOpen = 434;
const pidfdGetfd = 438;

/** On another thread: a page may have to be fetched first. Resolves to undefined when there is no such memory, or no such process. */
export async function readMemory(pid: number, address: bigint, length: number): Promise<Buffer | undefined> {
  const data = Buffer.alloc(length);
  return (await transfer(readv, pid, address, data)) === length ? data : undefined;
}

/** Only where the process itself may write. Resolves to whether all was written. */
export async function writeMemory(pid: number, address: bigint, data: Buffer): Promise<boolean> {
  return (await transfer(writev, pid, address, data)) === data.length;
}

function transfer(call: VectorCall, pid: number, address: bigint, data: Buffer): Promise<number> {
  const [local, remote] = [vector(koffi.address(data), data.length), vector(address, data.length)];
  return new Promise((resolve, reject) => {
    call.async(pid, local, 1, remote, 1, 0, (error: Error | null, result: number) => {
      // Named here, so that it is there as long as the kernel may use it.
      if (error === null) resolve(Math.min(result, data.length));
      else reject(error);
    });
  });
}

/** A `struct iovec`. */
function vector(address: bigint, length: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(address, 0);
  bytes.writeBigUInt64LE(BigInt(length), 8);
  return bytes;
}

/** Another descriptor of what a process has open, closed at the end of the returned resource. @throws SystemCallError */
export function descriptorOf(pid: number, descriptor: number): Disposable & {readonly descriptor: number} {
  const processDescriptor = trySyscall(pidfdOpen, pid);
  if (processDescriptor < 0) throw new SystemCallError('open', -processDescriptor, `process ${pid}`);
  try {
    const own = trySyscall(pidfdGetfd, processDescriptor, descriptor);
    if (own < 0) throw new SystemCallError('take', -own, `descriptor ${descriptor} of process ${pid}`);
    return {descriptor: own, [Symbol.dispose]: () => close(own)};
  } finally {
    close(processDescriptor);
  }
}

/** timerfd_settime(2); 0 ms is as soon as can be. @throws SystemCallError */
export function setTimerfd(descriptor: number, {flags, valueMs, everyMs}: {readonly flags: number; readonly valueMs: number; readonly everyMs: number}): void {
  const value = Buffer.concat([timespec(everyMs), timespec(Math.max(valueMs, 1e-6))]);
  if (timerfdSettime(descriptor, flags, value, null) < 0) throw new SystemCallError('set', koffi.errno(), `timerfd ${descriptor}`);
}

function timespec(ms: number): Buffer {
  const bytes = Buffer.alloc(16);
  const seconds = Math.floor(ms / 1000);
  bytes.writeBigInt64LE(BigInt(seconds), 0);
  bytes.writeBigInt64LE(BigInt(Math.min(999_999_999, Math.round((ms - seconds * 1000) * 1_000_000))), 8);
  return bytes;
}
