/** What is written to a connection: it goes to the kernel at once, and what the kernel does not take waits here. */
import {constants} from 'node:os';
import {ByteQueue} from './byte-queue.ts';
import {trySendFirst} from './stream-calls.ts';

const {EAGAIN, EINTR} = constants.errno;

/** Small texts are encoded here, one after the other. */
const textBuffer = Buffer.allocUnsafeSlow(16_384);
const maxCorkedBytes = 65_536;

export class StreamOutput {
  /** Everything waits. */
  isCorked = false;
  /** Whoever writes has to wait until all is sent. */
  needsDrain = false;
  #unsent: ByteQueue | null = null;

  get hasUnsent(): boolean {
    return this.#unsent !== null;
  }

  get unsentBytes(): number {
    return this.#unsent?.length ?? 0;
  }

  /** @param fd -1: not yet. @returns how many bytes were taken over, or a negative errno */
  write(fd: number, chunk: Buffer | string, encoding: 'latin1' | undefined): number {
    if (typeof chunk !== 'string') return this.#write(fd, chunk, chunk.length);
    if (chunk.length * 3 <= textBuffer.length) return this.#write(fd, textBuffer, textBuffer.write(chunk, encoding));
    const bytes = Buffer.from(chunk, encoding);
    return this.#write(fd, bytes, bytes.length);
  }

  /** Sends what waits, as far as the kernel takes it. @returns 0, or an errno */
  send(fd: number): number {
    if (this.#unsent === null) return 0;
    const bytes = this.#unsent.whole();
    const sent = sendSome(fd, bytes, bytes.length);
    if (sent < 0) return -sent;
    this.#unsent = null;
    if (sent < bytes.length) this.#keep(bytes.subarray(sent));
    return 0;
  }

  clear(): void {
    this.#unsent = null;
  }

  #write(fd: number, memory: Buffer, length: number): number {
    let sent = 0;
    if (this.#unsent === null && !this.isCorked && fd !== -1) {
      sent = sendSome(fd, memory, length);
      if (sent === length || sent < 0) return sent;
    }
    const unsent = this.#keep(Buffer.from(memory.subarray(sent, length)));
    if (!this.isCorked || unsent.length >= maxCorkedBytes) this.needsDrain = true;
    return length;
  }

  #keep(bytes: Buffer): ByteQueue {
    this.#unsent ??= new ByteQueue();
    this.#unsent.push(bytes);
    return this.#unsent;
  }
}

/** @returns how many bytes the kernel took, or a negative errno */
function sendSome(fd: number, memory: Buffer, length: number): number {
  const sent = trySendFirst(fd, memory, length);
  return sent === -EAGAIN || sent === -EINTR ? 0 : sent;
}
