/**
 * Memory into which predicted pages are read before a process can take them. There is one, and it is kept: to the system new memory is pages to be cleared
 * (and, in a virtual machine, to be had from the host), and to V8 it is memory that its heap holds on to, for which it collects garbage in the
 * middle of a wake.
 */

import {type Mapping, mapAnonymous} from '../../core/mapping.ts';
import {pageSizeBytes} from '../checkpoints/page-table.ts';

/** Pages of one read and one copy, at most: some 0.1 ms, for which faults wait. */
export const chunkPages = 64;
/** 8 MiB; what exceeds it is read when it is installed. */
const pagesMax = 2048;

export type Memory = Pick<Mapping, 'bytes' | 'address'> & Disposable;

export class ReadAheadMemory implements Disposable {
  /** For one chunk, and for a moment. */
  readonly scratch = mapAnonymous(chunkPages * pageSizeBytes);
  readonly #memory = mapAnonymous(pagesMax * pageSizeBytes);
  #isTaken = false;

  /** The caller disposes it. @returns null while somebody else has it */
  take(): Memory | null {
    if (this.#isTaken) return null;
    this.#isTaken = true;
    const {bytes, address} = this.#memory;
    return {
      bytes,
      address,
      [Symbol.dispose]: () => {
        this.#isTaken = false;
      },
    };
  }

  [Symbol.dispose](): void {
    this.scratch[Symbol.dispose]();
    this.#memory[Symbol.dispose]();
  }
}
