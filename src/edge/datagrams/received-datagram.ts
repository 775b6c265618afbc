/** A datagram in the poller's memory: it is valid during the call that gets it, and what is kept of it must be copied. */

import {ipv4Text, ipv6Text} from '../address-text.ts';
import type {DatagramAddresses} from '../udp-proxy-header.ts';
import {addressWords, type MessageHeaders} from './datagram-slots.ts';
import {copyLocalAddress, type LocalAddressForm} from './local-address.ts';

/** What a socket's datagrams have in common. */
export interface ArrivalForm {
  readonly ipv6: boolean;
  readonly nameBytes: number;
  /** Null: the socket is bound to one address, which is `bound`. */
  readonly local: LocalAddressForm | null;
  readonly bound: {readonly host: string; readonly port: number};
}

/** Where an answer goes: the client's `struct sockaddr`, then the local address that it leaves from, if that is not always the same. */
export type ReturnAddress = Uint32Array;

export class ReceivedDatagram {
  /** The datagram is the first `length` bytes. */
  readonly memory: Buffer;
  readonly #form: ArrivalForm;
  readonly #headers: MessageHeaders;
  readonly #slot: number;
  readonly #word: number;

  constructor(form: ArrivalForm, headers: MessageHeaders, slot: number, memory: Buffer) {
    this.#form = form;
    this.#headers = headers;
    this.#slot = slot;
    this.#word = slot * addressWords;
    this.memory = memory;
  }

  get length(): number {
    return this.#headers.receivedLength(this.#slot);
  }

  /** Of the client. */
  get port(): number {
    const start = this.#headers.addressWords[this.#word] ?? 0;
    return ((start >>> 8) & 0xff00) | (start >>> 24);
  }

  /** The same for datagrams of one client to one address, and for no others of this socket. */
  get key(): number | string {
    const {ipv6, local} = this.#form;
    const {addressWords: words, addresses} = this.#headers;
    if (!ipv6 && local === null) return (words[this.#word + 1] ?? 0) * 65_536 + ((words[this.#word] ?? 0) >>> 16);
    const start = this.#word * 4;
    const name = addresses.toString('latin1', start, start + this.#form.nameBytes);
    if (local === null) return name;
    return name + addresses.toString('latin1', start + local.addressByte, start + local.addressByte + (ipv6 ? 16 : 4));
  }

  get addresses(): DatagramAddresses {
    const {addresses} = this.#headers;
    const {ipv6, local, bound} = this.#form;
    const text = ipv6 ? ipv6Text : ipv4Text;
    const start = this.#word * 4;
    return {
      source: {host: text(addresses, start + (ipv6 ? 8 : 4)), port: this.port},
      destination: local === null ? bound : {host: text(addresses, start + local.addressByte), port: bound.port},
    };
  }

  returnAddress(): ReturnAddress {
    const {nameBytes, local} = this.#form;
    const nameWords = nameBytes / 4;
    const copy = new Uint32Array(nameWords + (local?.words ?? 0));
    const {addressWords: words} = this.#headers;
    for (let word = 0; word < nameWords; word++) copy[word] = words[this.#word + word] ?? 0;
    if (local !== null) copyLocalAddress(local, words, this.#word, copy, nameWords);
    return copy;
  }
}
