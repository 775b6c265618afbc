/**
 * The buffer into which messages are read from userfaultfds: a shared mapping of a file in the runtime directory.
 *
 * Reading an event consumes it: the process goes on with its madvise or munmap, and nobody is told a second time. If we are killed between
 * the read and the record in the journal, the message must not be lost with us, or the next pager would put old contents where the process
 * expects zeros. The kernel writes messages straight into this mapping, which outlives us, together with whose they are. What is left in it
 * is applied by the pager that takes over, but for the messages that the journal has already (`batch` and index tell).
 */
import {closeSync, copyFileSync, existsSync, ftruncateSync, openSync, readdirSync, readFileSync, renameSync, rmSync} from 'node:fs';
import {basename, dirname} from 'node:path';
import {tryRead} from '../../core/libc.ts';
import {mapFile} from '../../core/mapping.ts';
import {decodeMessage, type FaultMessage, messageBytes} from './userfaultfd.ts';

const headerBytes = 64;
/** Messages per read(2). */
const capacity = 128;
const windowBytes = headerBytes + capacity * messageBytes;

export interface EventWindow extends Disposable {
  /**
   * Reads what waits on a userfaultfd, in the name of address space `space` (never 0).
   * @returns the batch's number and its messages; undefined when nothing waits (EAGAIN) or the descriptor is of no use
   */
  read(fd: number, space: number): {readonly batch: number; readonly messages: readonly FaultMessage[]} | undefined;
  /** Every event of the last batch is in the journal (or needs not be). */
  done(): void;
}

/** Messages that a killed pager had read and perhaps not handled. */
export interface LeftMessages {
  readonly space: number;
  readonly batch: number;
  readonly messages: readonly FaultMessage[];
}

/** Opens and clears the window; the numbers of batches go on where the last pager's ended. */
export function openEventWindow(path: string): EventWindow {
  const file = openSync(path, 'a+', 0o600);
  try {
    ftruncateSync(file, windowBytes);
    const mapping = mapFile(file, windowBytes);
    const lastBatch = mapping.bytes.readUInt32LE(4);
    mapping.bytes.fill(0);
    mapping.bytes.writeUInt32LE(lastBatch, 4);
    return windowOver(mapping.bytes, lastBatch, () => mapping[Symbol.dispose]());
  } finally {
    closeSync(file);
  }
}

function windowOver(bytes: Buffer, lastBatch: number, dispose: () => void): EventWindow {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const slots = bytes.subarray(headerBytes);
  let batch = lastBatch;
  let used = 0;
  return {
    read(fd, space) {
      slots.fill(0, 0, used * messageBytes);
      batch = (batch + 1) >>> 0;
      view.setUint32(4, batch, true);
      view.setUint32(0, space, true);
      const received = tryRead(fd, slots);
      used = received > 0 ? Math.floor(received / messageBytes) : 0;
      if (used === 0) {
        view.setUint32(0, 0, true);
        return undefined;
      }
      return {batch, messages: decodeAll(view, used)};
    },
    done() {
      view.setUint32(0, 0, true);
    },
    [Symbol.dispose]: dispose,
  };
}

function decodeAll(view: DataView, count: number): FaultMessage[] {
  const messages: FaultMessage[] = [];
  for (let slot = 0; slot < count; slot++) {
    const message = decodeMessage(view, headerBytes + slot * messageBytes);
    if (message === undefined) break;
    messages.push(message);
  }
  return messages;
}

/** What the last pager left in its window; undefined when it had handled everything. To be called before `openEventWindow`. */
export function leftMessages(path: string): LeftMessages | undefined {
  if (!existsSync(path)) return undefined;
  const bytes = readFileSync(path);
  if (bytes.length !== windowBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const space = view.getUint32(0, true);
  return space === 0 ? undefined : {space, batch: view.getUint32(4, true), messages: decodeAll(view, capacity)};
}

function keptPath(path: string, space: number): string {
  return `${path}-${space}`;
}

/** Keeps what is in the window for a pager that takes its address space over later. To be called before `openEventWindow`. */
export function keepLeftMessages(path: string, space: number): void {
  copyFileSync(path, `${path}.new`);
  renameSync(`${path}.new`, keptPath(path, space));
}

/** Numbers of the address spaces of which messages are kept. */
export function keptSpaces(path: string): readonly number[] {
  const prefix = `${basename(path)}-`;
  const names = readdirSync(dirname(path)).filter((name) => name.startsWith(prefix));
  return names.map((name) => Number(name.slice(prefix.length)));
}

export function keptMessages(path: string, spaces: readonly number[]): readonly LeftMessages[] {
  return spaces.flatMap((space) => leftMessages(keptPath(path, space)) ?? []);
}

/** They are in a journal now, or of no use to anybody. */
export function dropKept(path: string, spaces: readonly number[]): void {
  for (const space of spaces) rmSync(keptPath(path, space), {force: true});
}
