/**
 * The listening sockets of the process that this one replaces, as HAProxy hands them over (`-x`): the command `_getsocks` on a unix socket is
 * answered with their number, then with messages of descriptors and what getsockname(2) does not tell of them. Each message is acknowledged.
 */
import {lstatSync} from 'node:fs';
import {CodedError, errorMessage} from '../core/errors.ts';
import {close, errnoName, pollEvent, socket, socketType, tryPoll, tryReceiveDescriptors, tryRecv, trySend} from '../core/libc.ts';
import {boundAddress, socketOptionOf, socketTypeOf, tryConnect} from './datagrams/datagram-calls.ts';
import {family, unixSocketAddress} from './socket-address.ts';

/** How a socket listens. */
export interface ListeningFacts {
  /** A `struct sockaddr`. */
  readonly address: Uint8Array;
  readonly interface: string | null;
  readonly v6only: boolean;
  readonly transparent: boolean;
}

export interface OldSockets extends Disposable {
  /** One that listens like this, which is the caller's from then on; null: there is none. Those that are left are closed at the end. */
  take(wanted: ListeningFacts): number | null;
}

interface OldSocket extends ListeningFacts {
  readonly fd: number;
}

/** HAProxy's: as many descriptors as it sends at a time, and the most that it says of each. */
const maxDescriptors = 252;
const maxFactsBytes = 1 + 4096 + 1 + 16 + 4;
const answerTimeoutMs = 1000;
const options = {ipv4Transparent: [0, 19], ipv6Transparent: [41, 75], ipv6Only: [41, 26]} as const;

/** @throws CodedError ERR_OLD_SOCKETS */
export function takeOldSockets(path: string): OldSockets {
  const left = receiveOldSockets(path);
  return {
    take(wanted) {
      const at = left.findIndex((old) => isAlike(old, wanted));
      return at === -1 ? null : (left.splice(at, 1)[0]?.fd ?? null);
    },
    [Symbol.dispose]() {
      for (const {fd} of left.splice(0)) close(fd);
    },
  };
}

function receiveOldSockets(path: string): OldSocket[] {
  const wrong = (found: string): never => {
    throw new CodedError('ERR_OLD_SOCKETS', `Cannot take listening sockets from the process behind "${path}": ${found}`, {source: 'client'});
  };
  const received: number[] = [];
  const connection = socket(family.unix, socketType.stream | socketType.closeOnExec | socketType.nonBlocking, 0);
  try {
    const connected = tryConnect(connection, unixSocketAddress(path, {abstract: false}));
    if (connected < 0) wrong(errnoName(-connected));
    trySend(connection, Buffer.from('_getsocks\n'), 0);
    const count = Buffer.alloc(4);
    if (!isReadable(connection) || tryRecv(connection, count, 0) !== count.length) wrong('it sends none, "expose-fd listeners" may be missing there');
    const facts = receiveAll(connection, {count: count.readInt32LE(0), received, wrong});
    return withFacts(received, facts) ?? wrong('what it says of them cannot be understood');
  } catch (error) {
    for (const fd of received) close(fd);
    throw error instanceof CodedError && error.code === 'ERR_OLD_SOCKETS' ? error : wrong(errorMessage(error));
  } finally {
    close(connection);
  }
}

interface Receiving {
  readonly count: number;
  readonly received: number[];
  readonly wrong: (found: string) => never;
}

function receiveAll(connection: number, {count, received, wrong}: Receiving): Buffer {
  const data = Buffer.alloc(maxDescriptors * maxFactsBytes);
  const facts: Buffer[] = [];
  const acknowledgement = Buffer.alloc(4);
  while (received.length < count) {
    if (!isReadable(connection)) wrong(`it sends ${received.length} of ${count}`);
    const part = tryReceiveDescriptors(connection, data, maxDescriptors);
    if (part.received <= 0) wrong(`it sends ${received.length} of ${count}`);
    received.push(...part.descriptors);
    facts.push(Buffer.from(data.subarray(0, part.received)));
    trySend(connection, acknowledgement, 0);
  }
  return Buffer.concat(facts);
}

function isReadable(fd: number): boolean {
  const poll = Buffer.alloc(8);
  poll.writeInt32LE(fd, 0);
  poll.writeInt16LE(pollEvent.in, 4);
  return tryPoll(poll, 1, answerTimeoutMs) === 1;
}

/** Of each: a length and the name of a network namespace, a length and the name of an interface, and four bytes. Null: that is not what it is. */
function withFacts(descriptors: readonly number[], facts: Buffer): OldSocket[] | null {
  const sockets: OldSocket[] = [];
  let at = 0;
  for (const fd of descriptors) {
    const spaceBytes = facts[at] ?? 0;
    const nameAt = at + 1 + spaceBytes;
    const nameBytes = facts[nameAt] ?? 0;
    at = nameAt + 1 + nameBytes + 4;
    if (at > facts.length) return null;
    const name = facts.toString('latin1', nameAt + 1, nameAt + 1 + nameBytes).replace(/\0.*$/, '');
    // Datagrams would be read by both processes, whichever is quicker.
    if (spaceBytes > 0 || socketTypeOf(fd) !== socketType.stream) close(fd);
    else sockets.push({fd, ...factsOf(fd, name === '' ? null : name)});
  }
  return sockets;
}

function factsOf(fd: number, name: string | null): ListeningFacts {
  const address = boundAddress(fd);
  const kind = address.readUInt16LE(0);
  const isSet = ([level, option]: readonly [number, number]): boolean => socketOptionOf(fd, level, option) !== 0;
  return {
    address,
    interface: name,
    v6only: kind === family.ipv6 && isSet(options.ipv6Only),
    transparent: kind !== family.unix && isSet(kind === family.ipv6 ? options.ipv6Transparent : options.ipv4Transparent),
  };
}

function isAlike(old: ListeningFacts, wanted: ListeningFacts): boolean {
  if (old.interface !== wanted.interface || old.v6only !== wanted.v6only || old.transparent !== wanted.transparent) return false;
  if (Buffer.from(wanted.address).readUInt16LE(0) !== family.unix) return Buffer.compare(old.address, wanted.address) === 0;
  const path = unixName(wanted.address);
  return unixName(old.address) === path && (path.startsWith('\0') || lstatSync(path, {throwIfNoEntry: false})?.isSocket() === true);
}

/** Both programs bind a path under another name, and the kernel goes on telling that one. */
function unixName(address: Uint8Array): string {
  const name = Buffer.from(address.subarray(2)).toString('utf8').replace(/\0+$/, '');
  return name.startsWith('\0') ? name : name.replace(/\.\d+\.tmp$/, '');
}
