/** mmap(2): memory outside of the heap, with an address that the kernel may be given. */
import koffi from 'koffi';
import {CodedError} from './errors.ts';
import {errnoName, libc} from './libc.ts';

const mmap = libc.func('uintptr_t mmap(uintptr_t address, size_t length, int protection, int flags, int fd, long offset)');
const munmap = libc.func('int munmap(uintptr_t address, size_t length)');
const madvise = libc.func('int madvise(uintptr_t address, size_t length, int advice)');

const protection = {read: 1, write: 2} as const;
/** MADV_DONTNEED, MADV_DONTFORK and MADV_HUGEPAGE, madvise(2). */
const advice = {dontNeed: 4, dontFork: 10, hugePages: 14} as const;
const flag = {shared: 1, private: 2, anonymous: 32} as const;

/** A mapping that lives until it is disposed; nobody may look at `bytes` after that. */
export interface Mapping extends Disposable {
  readonly bytes: Buffer;
  readonly address: number;
  /** Gives the memory back to the system; it reads as zeros afterwards (anonymous mappings). */
  discard(): void;
}

function map(sizeBytes: number, flags: number, fd: number): Mapping {
  const result: unknown = mmap(0, sizeBytes, protection.read | protection.write, flags, fd, 0);
  const address = Number(result);
  if (!(address > 0 && address < 2 ** 53)) {
    throw new CodedError('ERR_MAP_MEMORY', `Cannot map ${sizeBytes} bytes of memory: ${errnoName(koffi.errno())}`, {source: 'host'});
  }
  // A child would share it until we write: a page fault for each page, though the child becomes another program at once.
  madvise(address, sizeBytes, advice.dontFork);
  let mapped = true;
  return {
    bytes: Buffer.from(koffi.view(address, sizeBytes)),
    address,
    discard() {
      madvise(address, sizeBytes, advice.dontNeed);
    },
    [Symbol.dispose]() {
      if (mapped) munmap(address, sizeBytes);
      mapped = false;
    },
  };
}

/**
 * Private zeroed memory, in huge pages where the system has them: 9 MiB that were touched for the first time took 1 ms instead of 29 in a virtual machine
 * whose page faults are dear.
 * @throws CodedError ERR_MAP_MEMORY
 */
export function mapAnonymous(sizeBytes: number): Mapping {
  const mapping = map(sizeBytes, flag.private | flag.anonymous, -1);
  madvise(mapping.address, sizeBytes, advice.hugePages);
  return mapping;
}

/** Memory that is the contents of a file: it survives our being killed. The descriptor may be closed afterwards. @throws CodedError ERR_MAP_MEMORY */
export function mapFile(fd: number, sizeBytes: number): Mapping {
  return map(sizeBytes, flag.shared, fd);
}
