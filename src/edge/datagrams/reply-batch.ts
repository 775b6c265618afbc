/** Answers on their way from servers to the clients of one bound socket: read into the poller's memory, and sent from there together. */
import {constants} from 'node:os';
import type {OutgoingBatch} from '../polling/poller.ts';
import {tryReceiveMany, trySendMany} from './datagram-calls.ts';
import type {DatagramPoller} from './datagram-poller.ts';
import {addressWords, type DatagramSlots, MessageHeaders, slotCount} from './datagram-slots.ts';
import {prepareControl, writeControl} from './local-address.ts';
import type {ArrivalForm, ReturnAddress} from './received-datagram.ts';

/** A read of fewer would not be worth the system call. */
const minRoom = 16;
/** One for all batches: headers without names, for connected sockets. */
const headersOf = new WeakMap<DatagramSlots, MessageHeaders>();

function connectedHeaders(slots: DatagramSlots): MessageHeaders {
  const known = headersOf.get(slots) ?? new MessageHeaders(slots, {nameBytes: 0, controlBytes: 0});
  headersOf.set(slots, known);
  return known;
}

export class ReplyBatch implements OutgoingBatch {
  readonly #poller: DatagramPoller;
  readonly #fd: number;
  readonly #form: ArrivalForm;
  readonly #incoming: MessageHeaders;
  readonly #outgoing: MessageHeaders;
  readonly #onLost: (errno: number) => void;
  /** By the last `pass()`. */
  passedBytes = 0;
  #count = 0;

  /** @param onLost called for each datagram that the system does not send */
  constructor(options: {readonly poller: DatagramPoller; readonly fd: number; readonly form: ArrivalForm; readonly onLost: (errno: number) => void}) {
    this.#poller = options.poller;
    this.#fd = options.fd;
    this.#form = options.form;
    this.#onLost = options.onLost;
    const {nameBytes, local} = options.form;
    this.#incoming = connectedHeaders(options.poller.outgoing);
    this.#outgoing = new MessageHeaders(options.poller.outgoing, {nameBytes, controlBytes: local?.controlBytes ?? 0});
    if (local !== null) for (let slot = 0; slot < slotCount; slot++) prepareControl(local, this.#outgoing.addressWords, slot * addressWords);
  }

  /** Passes on at most `limit` datagrams that a connected socket has. @returns how many, or a negative errno, -EAGAIN when there are none */
  pass(server: number, client: ReturnAddress, limit: number): number {
    this.#poller.poller.lendTo(this);
    if (slotCount - this.#count < Math.min(limit, minRoom)) this.flush();
    const start = this.#incoming.from[this.#count];
    if (start === undefined) return -constants.errno.EAGAIN;
    const received = tryReceiveMany(server, start, Math.min(limit, slotCount - this.#count));
    this.passedBytes = 0;
    for (let taken = 0; taken < received; taken++) {
      const length = this.#incoming.receivedLength(this.#count);
      this.#address(this.#count, client);
      this.#outgoing.setSendLength(this.#count, length);
      this.passedBytes += length;
      this.#count++;
    }
    return received;
  }

  /** A datagram of our own; it goes with the next `flush()`, which comes at the end of the poller's turn. */
  add(content: Uint8Array, client: ReturnAddress): void {
    this.#poller.poller.lendTo(this);
    if (this.#count === slotCount) this.flush();
    this.#poller.outgoing.slots[this.#count]?.set(content);
    this.#address(this.#count, client);
    this.#outgoing.setSendLength(this.#count, content.length);
    this.#count++;
  }

  flush(): void {
    let sent = 0;
    while (sent < this.#count) {
      const start = this.#outgoing.from[sent];
      if (start === undefined) break;
      const result = trySendMany(this.#fd, start, this.#count - sent);
      if (result < 0) this.#onLost(-result);
      sent += Math.max(result, 1);
    }
    this.#count = 0;
  }

  #address(slot: number, client: ReturnAddress): void {
    const {nameBytes, local} = this.#form;
    const {addressWords: words} = this.#outgoing;
    const at = slot * addressWords;
    const nameWords = nameBytes / 4;
    for (let word = 0; word < nameWords; word++) words[at + word] = client[word] ?? 0;
    if (local !== null) writeControl(local, client, nameWords, words, at);
  }
}
