/** Memory in which the kernel finds or leaves datagrams, and the `struct mmsghdr` array that tells it where. For 64-bit Linux. */
import koffi from 'koffi';

/** Of datagrams that one system call moves. */
export const slotCount = 64;
/** No datagram is longer. Slots that began at the same bits of an address would push each other out of the processor's caches. */
export const slotBytes = 65_536 + 192;

export interface DatagramSlots {
  readonly memory: Buffer;
  readonly slots: readonly Buffer[];
}

export function openSlots(): DatagramSlots {
  const memory = Buffer.alloc(slotCount * slotBytes);
  return {memory, slots: Array.from({length: slotCount}, (_, slot) => memory.subarray(slot * slotBytes, (slot + 1) * slotBytes))};
}

const headerBytes = 64;
const headerWords = headerBytes / 4;
const vectorBytes = 16;
const word = {nameLength: 2, controlLength: 10, messageLength: 14, vectorLength: 2} as const;

/** A name (at most a `sockaddr_in6` of 28 bytes) and after it one control message (at most 40 bytes, with an `in6_pktinfo`). */
const addressBytes = 80;
export const addressWords = addressBytes / 4;
export const controlWord = 8;

function wordsOf(bytes: Buffer): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

/** One message for each slot. */
export class MessageHeaders {
  /** Name and control message of each. */
  readonly addresses: Buffer = Buffer.alloc(slotCount * addressBytes);
  readonly addressWords: Uint32Array = wordsOf(this.addresses);
  /** From each message on, to the end. */
  readonly from: readonly Buffer[];
  /** Kept here, because the kernel has its address. */
  readonly memory: Buffer;
  readonly #words: Uint32Array;
  readonly #vectors = Buffer.alloc(slotCount * vectorBytes);
  readonly #vectorWords = wordsOf(this.#vectors);

  constructor({memory}: DatagramSlots, {nameBytes, controlBytes}: {readonly nameBytes: number; readonly controlBytes: number}) {
    this.memory = memory;
    const headers = Buffer.alloc(slotCount * headerBytes);
    this.#words = wordsOf(headers);
    this.from = Array.from({length: slotCount}, (_, slot) => headers.subarray(slot * headerBytes));
    const addresses = koffi.address(this.addresses);
    const vectors = koffi.address(this.#vectors);
    const data = koffi.address(memory);
    for (const [slot, header] of this.from.entries()) {
      const address = addresses + BigInt(slot * addressBytes);
      if (nameBytes > 0) header.writeBigUInt64LE(address, 0);
      header.writeUInt32LE(nameBytes, word.nameLength * 4);
      header.writeBigUInt64LE(vectors + BigInt(slot * vectorBytes), 16);
      header.writeBigUInt64LE(1n, 24);
      if (controlBytes > 0) header.writeBigUInt64LE(address + BigInt(controlWord * 4), 32);
      header.writeUInt32LE(controlBytes, word.controlLength * 4);
      this.#vectors.writeBigUInt64LE(data + BigInt(slot * slotBytes), slot * vectorBytes);
      this.setSendLength(slot, slotBytes);
    }
  }

  /** Bytes that were received. */
  receivedLength(slot: number): number {
    return this.#words[slot * headerWords + word.messageLength] ?? 0;
  }

  /** Bytes to send, or room to receive. */
  setSendLength(slot: number, length: number): void {
    this.#vectorWords[slot * (vectorBytes / 4) + word.vectorLength] = length;
  }

  /** The kernel writes into it how much it found. */
  controlLength(slot: number): number {
    return this.#words[slot * headerWords + word.controlLength] ?? 0;
  }

  setControlLength(slot: number, length: number): void {
    this.#words[slot * headerWords + word.controlLength] = length;
  }
}
