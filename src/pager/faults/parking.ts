/**
 * Where descriptors survive us. A userfaultfd whose last descriptor is closed turns every missing page into zeros, in silence. So each one
 * is also sent, as SCM_RIGHTS, into a socket pair whose both ends are held by a keeper: a program that does nothing and outlives pager and
 * gateway. What lies in the receive queue of a socket is referenced as long as the socket is. When we are killed, faults stay unanswered;
 * the next pager takes the pair from the keeper with pidfd_getfd(2), looks into the queues without emptying them, and goes on.
 */
import {readdirSync} from 'node:fs';
import {constants} from 'node:os';
import {CodedError, errorCode} from '../../core/errors.ts';
import {readKernelFile} from '../../core/kernel-files.ts';
import {close, errnoName, libc, socketpair, socketType, tryReceiveDescriptors, trySendDescriptors, trySyscall} from '../../core/libc.ts';
import {quickSpawn} from '../../core/quick-spawn.ts';
import {isAlive} from './userfaultfd.ts';

const setsockopt = libc.func('int setsockopt(int fd, int level, int name, const void *value, unsigned int length)');
const solSocket = 1;
const option = {sendBufferForce: 32, peekOffset: 42} as const;
const messagePeek = 2;
const messageDontWait = 0x40;
const systemCall = {pidfdOpen: 434, pidfdGetfd: 438} as const;
/** Room for some five thousand descriptors, each of which costs the kernel under 1 KiB. */
const sendBufferBytes = 4 * 1024 * 1024;

function setOption(fd: number, name: number, value: number): void {
  const data = Buffer.alloc(4);
  data.writeInt32LE(value);
  setsockopt(fd, solSocket, name, data, 4);
}

/** Whose a parked descriptor is. `vpid` is the pid inside the container, 0 for the child of a fork. */
export interface ParkedName {
  readonly space: number;
  readonly vpid: number;
}

/** Space number of what is parked only to stay open: the sockets of a restore under way, with descriptors that nobody has received yet. */
const keptOpen: ParkedName = {space: 0, vpid: 0};

export interface Parked extends ParkedName {
  /** A descriptor of the receiver's own; the receiver closes it. */
  readonly fd: number;
}

function encodeName(name: ParkedName): Buffer {
  const data = Buffer.alloc(8);
  data.writeUInt32LE(name.space, 0);
  data.writeInt32LE(name.vpid, 4);
  return data;
}

/** One keeper's socket pair, seen from the process that parks. Owns its two descriptors. */
export class ParkingLot implements Disposable {
  readonly #ends: readonly [number, number];
  /** Index of the end that is sent to; what is parked lies in the queue of the other. */
  #sender: 0 | 1 = 0;
  #closed = false;

  constructor(ends: readonly [number, number]) {
    this.#ends = ends;
    for (const end of ends) setOption(end, option.sendBufferForce, sendBufferBytes);
  }

  /** @throws CodedError ERR_PARK: the instance has no protection from now on and must not go on */
  park(name: ParkedName, fd: number): void {
    const sent = trySendDescriptors(this.#ends[this.#sender], encodeName(name), [fd], messageDontWait);
    if (sent < 0) throw new CodedError('ERR_PARK', `Cannot park a descriptor of page faults with its keeper: ${errnoName(-sent)}`, {source: 'host'});
  }

  /** Keeps a socket of a restore open until the keeper ends, or the next `compact()`. @throws CodedError ERR_PARK */
  keepOpen(fd: number): void {
    this.park(keptOpen, fd);
  }

  /** Everything parked, by number of space, each with a new descriptor; nothing is taken away. */
  list(): Parked[] {
    const found = new Map<number, Parked>();
    for (const end of this.#ends) {
      for (const parked of this.#peek(end)) {
        if (parked.space === keptOpen.space || found.has(parked.space)) close(parked.fd);
        else found.set(parked.space, parked);
      }
    }
    return [...found.values()].sort((a, b) => a.space - b.space);
  }

  /** Whether something holds of one of the sockets that are kept open. */
  someKeptOpen(holds: (socket: number) => boolean): boolean {
    let found = false;
    for (const end of this.#ends) {
      for (const {space, fd} of this.#peek(end)) {
        found ||= space === keptOpen.space && holds(fd);
        close(fd);
      }
    }
    return found;
  }

  /** Forgets all but `alive`. At every moment each of them lies in one queue at least, so being killed in the middle loses none. */
  compact(alive: readonly Parked[]): void {
    const from = this.#ends[this.#sender === 0 ? 1 : 0];
    const to = this.#ends[this.#sender];
    // Left there by a compaction that was cut short.
    const stale = this.#peek(to);
    for (const {fd} of stale) close(fd);
    this.#sender = this.#sender === 0 ? 1 : 0;
    for (const {fd, ...name} of alive) this.park(name, fd);
    this.#drop(from, Number.POSITIVE_INFINITY);
    this.#drop(to, stale.length);
  }

  #peek(end: number): Parked[] {
    const found: Parked[] = [];
    // With an offset set, each look starts behind the message of the last one.
    setOption(end, option.peekOffset, 0);
    for (let next = this.#receive(end, messagePeek); next !== undefined; next = this.#receive(end, messagePeek)) found.push(next);
    setOption(end, option.peekOffset, -1);
    return found;
  }

  #drop(end: number, limit: number): void {
    for (let dropped = 0; dropped < limit; dropped++) {
      const next = this.#receive(end, 0);
      if (next === undefined) return;
      close(next.fd);
    }
  }

  #receive(end: number, flags: number): Parked | undefined {
    const data = Buffer.alloc(8);
    const {received, descriptors} = tryReceiveDescriptors(end, data, 1, flags | messageDontWait);
    const [fd] = descriptors;
    return received !== data.length || fd === undefined ? undefined : {space: data.readUInt32LE(0), vpid: data.readInt32LE(4), fd};
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const end of this.#ends) close(end);
  }
}

const keeperArgv = ['sleep', '2147483647'] as const;
/** In the keeper's environment, with the runtime directory as value: how leftovers are recognised. */
const keeperVariable = 'PICOGATE_KEEPER';
/** The pair's numbers inside of the keeper. */
const keeperDescriptors = [3, 4] as const;

/** A running keeper, named so that another process with its pid is never taken for it. */
export interface Keeper {
  readonly pid: number;
  /** Clock ticks since boot, from /proc/PID/stat. */
  readonly startTime: number;
}

/** Start time of a process that runs; undefined when there is none (a zombie counts as none). */
export function processStartTime(pid: number): number | undefined {
  try {
    const text = readKernelFile(`/proc/${pid}/stat`);
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[19]);
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return undefined;
    throw error;
  }
}

/** Starts a keeper with an empty pair. It runs until `stopKeeper`, whatever happens to us. The caller owns the two descriptors. */
export function startKeeper(runtimeDir: string): {readonly keeper: Keeper; readonly ends: [number, number]} {
  const ends = socketpair(socketType.sequenced | socketType.closeOnExec | socketType.nonBlocking);
  try {
    const child = quickSpawn(keeperArgv, {
      descriptors: [null, null, null, ...ends],
      cwd: '/',
      env: {PATH: process.env['PATH'], [keeperVariable]: runtimeDir},
    });
    child.unref();
    const startTime = processStartTime(child.pid);
    if (startTime === undefined) throw new CodedError('ERR_KEEPER', 'Cannot start a keeper of descriptors: it ended at once', {source: 'host'});
    return {keeper: {pid: child.pid, startTime}, ends};
  } catch (error) {
    for (const end of ends) close(end);
    throw error;
  }
}

export function keeperRuns(keeper: Keeper): boolean {
  return processStartTime(keeper.pid) === keeper.startTime;
}

/** The pair of a keeper that another process started. The caller owns the descriptors. @throws CodedError ERR_KEEPER */
export function descriptorsOf(keeper: Keeper): [number, number] {
  const failed = (what: string): CodedError => new CodedError('ERR_KEEPER', `Cannot take descriptors from keeper ${keeper.pid}: ${what}`, {source: 'host'});
  const pidfd = trySyscall(systemCall.pidfdOpen, keeper.pid, 0);
  if (pidfd < 0) throw failed(errnoName(-pidfd));
  const taken: number[] = [];
  try {
    // Checked only now: the pidfd is what makes the pid stay this process's.
    if (!keeperRuns(keeper)) throw failed('it has ended');
    for (const number of keeperDescriptors) {
      const fd = trySyscall(systemCall.pidfdGetfd, pidfd, number);
      if (fd < 0) throw failed(errnoName(-fd));
      taken.push(fd);
    }
    const [first, second] = taken;
    if (first === undefined || second === undefined) throw failed('it has none');
    return [first, second];
  } catch (error) {
    for (const fd of taken) close(fd);
    throw error;
  } finally {
    close(pidfd);
  }
}

/** Whether an address space still depends on a keeper. */
export function isNeeded(keeper: Keeper): boolean {
  if (!keeperRuns(keeper)) return false;
  using lot = new ParkingLot(descriptorsOf(keeper));
  let needed = false;
  for (const {fd} of lot.list()) {
    needed ||= isAlive(fd);
    close(fd);
  }
  return needed;
}

/** Ends a keeper. Only after the processes whose descriptors it holds are gone. */
export function stopKeeper(keeper: Keeper): void {
  if (!keeperRuns(keeper)) return;
  try {
    process.kill(keeper.pid, constants.signals.SIGKILL);
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error;
  }
}

/** All keepers that were started for a runtime directory. */
export function findKeepers(runtimeDir: string): Keeper[] {
  const keepers: Keeper[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(entry) || !isKeeper(entry, runtimeDir)) continue;
    const startTime = processStartTime(Number(entry));
    if (startTime !== undefined) keepers.push({pid: Number(entry), startTime});
  }
  return keepers;
}

function isKeeper(pid: string, runtimeDir: string): boolean {
  try {
    if (readKernelFile(`/proc/${pid}/cmdline`) !== `${keeperArgv.join('\0')}\0`) return false;
    return readKernelFile(`/proc/${pid}/environ`).split('\0').includes(`${keeperVariable}=${runtimeDir}`);
  } catch {
    // It ended while we looked, so it is none.
    return false;
  }
}
