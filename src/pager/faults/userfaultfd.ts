/**
 * userfaultfd(2): the requests and messages of the kernel's interface for page faults in user space.
 *
 * Requests go through one argument structure whose address is taken once, because this is the fault path. Nothing here throws on an
 * errno: to a server of faults EAGAIN (an event must be read first), EEXIST, ENOENT and ESRCH are ordinary answers.
 */
import {addressOf, tryIoctl} from '../../core/libc.ts';
import {pageSizeBytes} from '../checkpoints/page-table.ts';

const request = {
  api: 0xc018aa3f,
  register: 0xc020aa00,
  wake: 0x8010aa02,
  copy: 0xc028aa03,
  zeroPage: 0xc020aa04,
  writeProtect: 0xc018aa06,
} as const;

/** Bytes of one message (`struct uffd_msg`). */
export const messageBytes = 32;

/** `UFFD_FEATURE_*` that Picogate needs; what CRIU asks for in lazy restores. */
export const neededFeatures = 0x2 | 0x4 | 0x8 | 0x40;

const eventNumber = {fault: 0x12, fork: 0x13, remap: 0x14, remove: 0x15, unmap: 0x16} as const;

/** A message, in pages. Only whole pages move, so nothing is lost. */
export type FaultMessage =
  | {readonly kind: 'fault'; readonly page: number; readonly write: boolean}
  | {readonly kind: 'fork'; readonly fd: number}
  | {readonly kind: 'remap'; readonly from: number; readonly to: number; readonly count: number}
  | {readonly kind: 'remove' | 'unmap'; readonly page: number; readonly count: number}
  | {readonly kind: 'unknown'; readonly event: number};

function readU64(data: DataView, at: number): number {
  return data.getUint32(at, true) + data.getUint32(at + 4, true) * 2 ** 32;
}

function writeU64(data: DataView, at: number, value: number): void {
  data.setUint32(at, value % 2 ** 32, true);
  data.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

/** Decodes the message at `at`; undefined for an empty slot (event 0). */
export function decodeMessage(data: DataView, at: number): FaultMessage | undefined {
  const event = data.getUint8(at);
  const first = (): number => Math.floor(readU64(data, at + 8) / pageSizeBytes);
  const second = (): number => Math.floor(readU64(data, at + 16) / pageSizeBytes);
  switch (event) {
    case 0:
      return undefined;
    case eventNumber.fault:
      return {kind: 'fault', page: second(), write: (data.getUint32(at + 8, true) & 1) === 1};
    case eventNumber.fork:
      return {kind: 'fork', fd: data.getInt32(at + 8, true)};
    case eventNumber.remap:
      return {kind: 'remap', from: first(), to: second(), count: Math.floor(readU64(data, at + 24) / pageSizeBytes)};
    case eventNumber.remove:
    case eventNumber.unmap:
      return {kind: event === eventNumber.remove ? 'remove' : 'unmap', page: first(), count: second() - first()};
    default:
      return {kind: 'unknown', event};
  }
}

/** The reverse of `decodeMessage`, as the kernel would write it. */
export function encodeMessage(message: FaultMessage, data: DataView, at: number): void {
  for (let byte = 0; byte < messageBytes; byte++) data.setUint8(at + byte, 0);
  const pages = (offset: number, count: number): void => writeU64(data, at + offset, count * pageSizeBytes);
  switch (message.kind) {
    case 'fault':
      data.setUint8(at, eventNumber.fault);
      data.setUint32(at + 8, message.write ? 1 : 0, true);
      pages(16, message.page);
      return;
    case 'fork':
      data.setUint8(at, eventNumber.fork);
      data.setInt32(at + 8, message.fd, true);
      return;
    case 'remap':
      data.setUint8(at, eventNumber.remap);
      pages(8, message.from);
      pages(16, message.to);
      pages(24, message.count);
      return;
    case 'remove':
    case 'unmap':
      data.setUint8(at, eventNumber[message.kind]);
      pages(8, message.page);
      pages(16, message.page + message.count);
      return;
    case 'unknown':
      data.setUint8(at, message.event);
      return;
    default:
      message satisfies never;
  }
}

// An ArrayBuffer of its own never moves and is never pooled, so the address stays good as long as this module lives.
const argument = new DataView(new ArrayBuffer(40));
const argumentAddress = Number(addressOf(new Uint8Array(argument.buffer)));
const dontWake = {zeroPage: 1, writeProtect: 2} as const;

/** The kernel leaves the bytes done, or a negative errno, in the field at `at`, also when it fails half-way. */
function pagesDone(result: number, at: number): number {
  if (result === 0) return readU64(argument, at) / pageSizeBytes;
  const done = argument.getInt32(at + 4, true) < 0 ? 0 : readU64(argument, at);
  return done > 0 ? done / pageSizeBytes : result;
}

/**
 * Copies pages from our memory into missing pages and wakes who waits for them.
 * @returns pages installed (fewer than asked when it stopped on the way), or a negative errno when it was none
 */
export function copyPages(fd: number, to: {readonly page: number; readonly count: number; readonly source: number}): number {
  writeU64(argument, 0, to.page * pageSizeBytes);
  writeU64(argument, 8, to.source);
  writeU64(argument, 16, to.count * pageSizeBytes);
  writeU64(argument, 24, 0);
  writeU64(argument, 32, 0);
  return pagesDone(tryIoctl(fd, request.copy, argumentAddress), 32);
}

/** Maps zero pages where pages are missing. @returns as `copyPages` */
export function zeroPages(fd: number, page: number, count: number): number {
  writeU64(argument, 0, page * pageSizeBytes);
  writeU64(argument, 8, count * pageSizeBytes);
  writeU64(argument, 16, 0);
  writeU64(argument, 24, 0);
  return pagesDone(tryIoctl(fd, request.zeroPage, argumentAddress), 24);
}

/** Wakes the threads that wait for a range; those whose page is still missing fault again. */
export function wakePages(fd: number, page: number, count: number): void {
  writeU64(argument, 0, page * pageSizeBytes);
  writeU64(argument, 8, count * pageSizeBytes);
  tryIoctl(fd, request.wake, argumentAddress);
}

/** Lowest page that the kernel accepts in any request (mmap_min_addr is at most this on every configuration we know). */
const lowestPage = 0x10000 / pageSizeBytes;
/** End of the smallest user address space of the 64-bit machines we run on, in pages. */
const highestPage = 0x7ffffffff000 / pageSizeBytes;

/**
 * Wakes every waiting thread: a fault whose message was read by a process that is gone is reported anew.
 */
export function wakeAll(fd: number): void {
  wakePages(fd, lowestPage, highestPage - lowestPage);
}

/**
 * Whether the address space behind a descriptor still exists. A userfaultfd says nothing when its process ends or executes another
 * program; so we ask for something that cannot change anything (un-write-protect one page that never was) and look at the errno.
 */
export function isAlive(fd: number): boolean {
  writeU64(argument, 0, lowestPage * pageSizeBytes);
  writeU64(argument, 8, pageSizeBytes);
  writeU64(argument, 16, dontWake.writeProtect);
  return tryIoctl(fd, request.writeProtect, argumentAddress) !== -esrch;
}

/**
 * Whether a range lies in one mapping that is registered with a userfaultfd. `changing`: the process has changed its mappings and its event was
 * not taken note of yet; asking later tells. When it is not `changing`, all that the process has done to its mappings was read before.
 */
export type Registration = 'registered' | 'unregistered' | 'changing';

/**
 * Asks without changing anything: a copy that is to be write-protected is refused where only missing pages are registered (EINVAL), but not
 * before the kernel has looked for the mapping (ENOENT). What else it may answer leaves things as they are: `registered`.
 */
export function registrationOf(fd: number, page: number, count: number): Registration {
  writeU64(argument, 0, page * pageSizeBytes);
  writeU64(argument, 8, page * pageSizeBytes);
  writeU64(argument, 16, count * pageSizeBytes);
  writeU64(argument, 24, copyWriteProtected);
  writeU64(argument, 32, 0);
  const result = tryIoctl(fd, request.copy, argumentAddress);
  if (result === -eagain) return 'changing';
  return result === -enoent || result === -esrch ? 'unregistered' : 'registered';
}

/** Whether all that a process has done to its mappings has been read. */
export function isQuiet(fd: number): boolean {
  return registrationOf(fd, lowestPage, 1) !== 'changing';
}

const copyWriteProtected = 2;
const [enoent, esrch, eagain] = [2, 3, 11];
