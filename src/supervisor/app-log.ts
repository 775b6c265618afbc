/**
 * What an app prints: a FIFO whose other end is the app's standard output and error, pumped into a log file of bounded
 * size. The FIFO belongs to the gateway, so the app's side of it stays open while the app is frozen or asleep, and a
 * restored app gets it again.
 */
import {closeSync, constants, existsSync, fstatSync, openSync, readSync} from 'node:fs';
import {mkdir, open, readFile, rename} from 'node:fs/promises';
import {Socket} from 'node:net';
import {dirname} from 'node:path';
import {errorMessage} from '../core/errors.ts';
import {mkfifo} from '../core/libc.ts';
import type {Log} from '../core/log.ts';

export interface AppLog extends AsyncDisposable {
  readonly fifo: string;
  /** Resolves when everything the app has printed so far is in the file. */
  flush(): Promise<void>;
}

export interface AppLogOptions {
  readonly fifo: string;
  /** The file; `<file>.1` is the one before. */
  readonly file: string;
  /** Size of both files together. */
  readonly limitBytes: number;
  readonly log: Log;
}

/** Creates the FIFO, if it is not there, and begins to read it. */
export async function openAppLog(options: AppLogOptions): Promise<AppLog> {
  await mkdir(dirname(options.file), {recursive: true, mode: 0o700});
  if (!existsSync(options.fifo)) mkfifo(options.fifo, 0o600);
  // Open for reading and writing: the app's end never sees that nobody reads, and this end never sees an end of file.
  const reading = openSync(options.fifo, constants.O_RDWR | constants.O_NONBLOCK);
  const socket = new Socket({fd: reading, readable: true, writable: false});
  const file = new RotatingFile(options.file, options.limitBytes);
  let pending: Promise<void> = Promise.resolve();
  socket.on('data', (chunk: Buffer) => {
    // The app waits on a full FIFO while the disk is slow; it is never read faster than it is stored.
    socket.pause();
    pending = file
      .append(chunk)
      .catch((error: unknown) => options.log.warn({error: errorMessage(error)}, 'output of the app is lost'))
      .then(() => void socket.resume());
  });
  socket.on('error', (error) => options.log.warn({error: errorMessage(error)}, 'the output of the app cannot be read'));
  socket.unref();
  const flush = async (): Promise<void> => {
    // One turn of the event loop reads what is in the FIFO; as long as something came, there may be more.
    for (let seen: Promise<void> | undefined; seen !== pending; ) {
      seen = pending;
      await seen;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  return {
    fifo: options.fifo,
    flush,
    async [Symbol.asyncDispose]() {
      await flush();
      socket.destroy();
      await file.close();
    },
  };
}

/** A file that is renamed to `<path>.1` when it has reached half of the limit. */
class RotatingFile {
  readonly #path: string;
  readonly #partBytes: number;
  #handle: Awaited<ReturnType<typeof open>> | undefined;
  #sizeBytes = 0;

  constructor(path: string, limitBytes: number) {
    this.#path = path;
    this.#partBytes = Math.max(1, Math.floor(limitBytes / 2));
  }

  async append(data: Buffer): Promise<void> {
    for (let at = 0; at < data.length; ) {
      const handle = await this.#opened();
      const part = data.subarray(at, at + Math.max(1, this.#partBytes - this.#sizeBytes));
      const {bytesWritten} = await handle.write(part);
      at += bytesWritten;
      this.#sizeBytes += bytesWritten;
      if (this.#sizeBytes >= this.#partBytes) await this.#rotate();
    }
  }

  async #opened(): Promise<Awaited<ReturnType<typeof open>>> {
    if (this.#handle === undefined) {
      this.#handle = await open(this.#path, 'a', 0o600);
      this.#sizeBytes = (await this.#handle.stat()).size;
    }
    return this.#handle;
  }

  async #rotate(): Promise<void> {
    await this.close();
    await rename(this.#path, `${this.#path}.1`);
  }

  async close(): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
  }
}

/** Everything that is kept in the file and the one before. */
export async function readAppLog(file: string): Promise<string> {
  const [older, newer] = await Promise.all([`${file}.1`, file].map((path) => readFile(path, 'utf8').catch(() => ''))); // Not printed that much yet.
  return `${older}${newer}`;
}

/** The end of what was printed, in full lines where possible. Reads files synchronously: for error messages. */
export function appLogTail(path: string, maxBytes = 2000): string {
  const newest = readEnd(path, maxBytes);
  const text = newest.length >= maxBytes ? newest : readEnd(`${path}.1`, maxBytes - newest.length) + newest;
  return text.trim();
}

function readEnd(path: string, maxBytes: number): string {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch {
    return ''; // Nothing printed yet.
  }
  try {
    const data = Buffer.alloc(maxBytes);
    const {size} = fstatSync(descriptor);
    return data.subarray(0, readSync(descriptor, data, 0, maxBytes, Math.max(0, size - maxBytes))).toString();
  } finally {
    closeSync(descriptor);
  }
}
