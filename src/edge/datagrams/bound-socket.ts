/** A bound socket of datagrams, read by the poller. */
import {lookup} from 'node:dns/promises';
import {isIPv6} from 'node:net';
import {constants} from 'node:os';
import type {Bind} from '../../config/proxy-value.ts';
import {CodedError} from '../../core/errors.ts';
import {bindSocket, close, duplicate, errnoName, SystemCallError, setSocketOption, socket, socketType} from '../../core/libc.ts';
import {addressText} from '../address-text.ts';
import {bindError, bindHost} from '../addresses.ts';
import {ready} from '../polling/epoll.ts';
import type {PolledDescriptor} from '../polling/poller.ts';
import {family, ipv4SocketAddress, ipv6SocketAddress} from '../socket-address.ts';
import {askForLocalAddress, boundAddress, socketTypeOf, tryReceiveMany} from './datagram-calls.ts';
import type {DatagramPoller} from './datagram-poller.ts';
import {MessageHeaders, slotCount} from './datagram-slots.ts';
import {localAddressForm} from './local-address.ts';
import {type ArrivalForm, ReceivedDatagram} from './received-datagram.ts';
import {ReplyBatch} from './reply-batch.ts';

/** Cut to net.core.rmem_max and wmem_max. */
const bufferBytes = 1024 * 1024;
const level = {socket: 1, ipv4: 0, ipv6: 41} as const;
const option = {sendBuffer: 7, receiveBuffer: 8, bindToDevice: 25, ipv4Transparent: 19, ipv6Transparent: 75, ipv6Only: 26} as const;

export interface BoundSocketEvents {
  /** The datagram is valid during the call. */
  onDatagram(datagram: ReceivedDatagram): void;
  /** Receiving failed; the socket goes on. */
  onError(errno: number): void;
  /** A datagram was not sent. */
  onLost(errno: number): void;
}

export class BoundSocket implements PolledDescriptor, Disposable {
  readonly fd: number;
  readonly host: string;
  readonly port: number;
  readonly replies: ReplyBatch;
  readonly #poller: DatagramPoller;
  readonly #headers: MessageHeaders;
  readonly #datagrams: readonly ReceivedDatagram[];
  readonly #controlBytes: number;
  readonly #events: BoundSocketEvents;
  #closed = false;

  constructor(fd: number, form: ArrivalForm, poller: DatagramPoller, events: BoundSocketEvents) {
    this.fd = fd;
    this.host = form.bound.host;
    this.port = form.bound.port;
    this.#poller = poller;
    this.#events = events;
    this.#controlBytes = form.local?.controlBytes ?? 0;
    const headers = new MessageHeaders(poller.incoming, {nameBytes: form.nameBytes, controlBytes: this.#controlBytes});
    this.#headers = headers;
    this.#datagrams = poller.incoming.slots.map((memory, slot) => new ReceivedDatagram(form, headers, slot, memory));
    this.replies = new ReplyBatch({poller, fd, form, onLost: (errno) => events.onLost(errno)});
  }

  onReady(): void {
    const [start] = this.#headers.from;
    if (start === undefined) return;
    const count = tryReceiveMany(this.fd, start, slotCount);
    if (count < 0 && count !== -constants.errno.EAGAIN && count !== -constants.errno.EINTR) this.#events.onError(-count);
    for (let slot = 0; slot < count; slot++) {
      const datagram = this.#datagrams[slot];
      if (datagram !== undefined && this.#isWhole(slot)) this.#events.onDatagram(datagram);
    }
  }

  /** Has its local address, if it has to have one; the kernel sets its length, which is set back here. */
  #isWhole(slot: number): boolean {
    if (this.#controlBytes === 0) return true;
    const found = this.#headers.controlLength(slot);
    this.#headers.setControlLength(slot, this.#controlBytes);
    return found === this.#controlBytes;
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poller.poller.flush();
    this.#poller.poller.close(this);
  }
}

/**
 * Binds, or takes the descriptor that the configuration names; from then on `events` are told.
 * @throws CodedError ERR_BIND
 */
export async function openBoundSocket(options: {
  readonly frontend: string;
  readonly bind: Bind;
  readonly ipv6Only: boolean;
  readonly poller: DatagramPoller;
  readonly events: BoundSocketEvents;
}): Promise<BoundSocket> {
  const {frontend, bind, ipv6Only, poller, events} = options;
  let fd: number | null = null;
  try {
    fd = bind.inheritedFd === null ? await makeSocket(bind, ipv6Only) : inherited(bind.inheritedFd);
    const opened = new BoundSocket(fd, arrivalForm(fd), poller, events);
    poller.poller.add(opened, ready.input);
    return opened;
  } catch (error) {
    if (fd !== null) close(fd);
    throw bindError(frontend, bind, named(error));
  }
}

async function makeSocket(bind: Bind, ipv6Only: boolean): Promise<number> {
  const {address} = await lookup(bindHost(bind));
  const ipv6 = isIPv6(address);
  const fd = socket(ipv6 ? family.ipv6 : family.ipv4, socketType.datagram | socketType.closeOnExec | socketType.nonBlocking, 0);
  try {
    setSocketOption(fd, level.socket, option.receiveBuffer, bufferBytes);
    setSocketOption(fd, level.socket, option.sendBuffer, bufferBytes);
    if (ipv6) setSocketOption(fd, level.ipv6, option.ipv6Only, (bind.v6only ?? ipv6Only) ? 1 : 0);
    if (bind.transparent) setSocketOption(fd, ipv6 ? level.ipv6 : level.ipv4, ipv6 ? option.ipv6Transparent : option.ipv4Transparent, 1);
    if (bind.interface !== null) setSocketOption(fd, level.socket, option.bindToDevice, bind.interface);
    bindSocket(fd, ipv6 ? ipv6SocketAddress(address, bind.port) : ipv4SocketAddress(address, bind.port));
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** The number stays ours, so that the next configuration can name it again. */
function inherited(fd: number): number {
  if (socketTypeOf(fd) !== socketType.datagram) {
    throw new CodedError('ERR_NOT_A_SOCKET', `descriptor ${fd} is not a socket of datagrams`, {source: 'client'});
  }
  return duplicate(fd);
}

function arrivalForm(fd: number): ArrivalForm {
  const address = boundAddress(fd);
  const ipv6 = address.readUInt16LE(0) === family.ipv6;
  const bound = addressText(address);
  const isEveryAddress = bound.host === (ipv6 ? '::' : '0.0.0.0');
  if (isEveryAddress) askForLocalAddress(fd, ipv6);
  return {ipv6, nameBytes: ipv6 ? 28 : 16, local: isEveryAddress ? localAddressForm(ipv6) : null, bound};
}

/** With the errno as its code, as Node's errors have it. */
function named(error: unknown): unknown {
  if (!(error instanceof SystemCallError)) return error;
  return new CodedError(errnoName(error.errno), `${error.call}: ${errnoName(error.errno)}`, {source: 'host', cause: error});
}
