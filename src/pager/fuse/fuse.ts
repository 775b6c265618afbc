/**
 * A read-only FUSE file system of directories (one per instance) whose files are made of extents; CRIU reads its images
 * from it. Served by a thread of its own, so that a busy event loop blocks no reader. This side mounts, hands commands
 * over and closes the descriptors.
 */
import {lstat} from 'node:fs/promises';
import {join} from 'node:path';
import {MessageChannel, type MessagePort, Worker} from 'node:worker_threads';
import {assert, CodedError, errorMessage} from '../../core/errors.ts';
import {close, eventfd, tryWrite} from '../../core/libc.ts';
import type {Log} from '../../core/log.ts';
import type {Extent, FuseFiles} from './fuse-files.ts';
import type {FuseCommand, FuseReport, FuseWorkerData} from './fuse-messages.ts';
import {detachFuse, type FuseMount, mountFuse} from './fuse-mount.ts';

export interface FuseOptions {
  /** Created if missing. It must be the caller's alone: a mount of a killed predecessor there is detached. */
  readonly mountPoint: string;
  readonly log: Log;
  /**
   * ERR_FUSE_READ: a reader got EIO, since a backing file could not be read (once per file).
   * ERR_FUSE_STOPPED: the serving thread ended; readers get errors from now on and nothing can be added.
   */
  readonly onError: (error: CodedError<'ERR_FUSE_READ' | 'ERR_FUSE_STOPPED'>) => void;
}

export interface Fuse extends AsyncDisposable {
  readonly mountPoint: string;
  /**
   * Makes a directory of files visible. Bytes are copied; backing files must not change nor vanish until it is removed.
   * @returns its path
   */
  add(directory: string, files: FuseFiles): Promise<string>;
  /** Takes a directory away; files of it that are still open give ESTALE. Harmless when there is none. */
  remove(directory: string): Promise<void>;
}

/** Mounts the file system and waits until it answers. Disposing unmounts it; so does the end of the process, but for SIGKILL. */
export async function openFuse(options: FuseOptions): Promise<Fuse> {
  const mounted = await mountFuse(options.mountPoint);
  const fuse = new FuseClient(startThread(mounted), options);
  try {
    await fuse.ready;
  } catch (error) {
    await fuse[Symbol.asyncDispose]();
    throw error;
  }
  return fuse;
}

interface Thread {
  readonly mounted: FuseMount;
  readonly bell: number;
  readonly port: MessagePort;
  readonly worker: Worker;
}

const eventfdFlags = 0o2004000; // EFD_CLOEXEC | EFD_NONBLOCK
const ringing = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);

function startThread(mounted: FuseMount): Thread {
  using scope = new DisposableStack();
  scope.defer(() => close(mounted.device));
  scope.defer(() => detachFuse(mounted.mountPoint));
  const bell = eventfd(eventfdFlags);
  scope.defer(() => close(bell));
  const {port1, port2} = new MessageChannel();
  const data: FuseWorkerData = {device: mounted.device, bell, port: port2};
  // Compiled code lies beside compiled code.
  const script = import.meta.url.endsWith('.ts') ? './fuse-worker.ts' : './fuse-worker.js';
  const worker = new Worker(new URL(script, import.meta.url), {name: 'fuse', workerData: data, transferList: [port2]});
  scope.move();
  return {mounted, bell, port: port1, worker};
}

class FuseClient implements Fuse {
  readonly mountPoint: string;
  readonly ready: Promise<void>;
  readonly #device: number;
  readonly #worker: Worker;
  readonly #bell: number;
  readonly #port: MessagePort;
  readonly #ended: Promise<void>;
  readonly #onError: FuseOptions['onError'];
  readonly #log: Log;
  readonly #directories = new Set<string>();
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  readonly #stopAtExit = (): void => this.#stop();
  #nextId = 1;
  #state: 'serving' | 'stopping' | 'ended' = 'serving';
  #disposed: Promise<void> | undefined;

  constructor(thread: Thread, options: FuseOptions) {
    this.mountPoint = thread.mounted.mountPoint;
    this.#device = thread.mounted.device;
    this.#worker = thread.worker;
    this.#bell = thread.bell;
    this.#port = thread.port;
    this.#onError = options.onError;
    this.#log = options.log;
    this.#port.on('message', (report: FuseReport) => this.#receive(report));
    this.ready = this.#wait(0);
    this.#ended = this.#watch();
    process.on('exit', this.#stopAtExit);
    // Only commands under way keep the process alive.
    this.#worker.unref();
  }

  async add(directory: string, files: FuseFiles): Promise<string> {
    assertName(directory);
    assert(!this.#directories.has(directory), `The FUSE directory "${directory}" is there already`);
    const copies = new Map<string, readonly Extent[]>();
    const buffers: ArrayBuffer[] = [];
    for (const [name, extents] of files) {
      assertName(name);
      copies.set(
        name,
        extents.map((extent) => copyExtent(extent, buffers)),
      );
    }
    this.#directories.add(directory);
    const id = this.#nextId++;
    try {
      await this.#send({kind: 'add', id, directory, files: copies}, id, buffers);
    } catch (error) {
      this.#directories.delete(directory);
      throw error;
    }
    return join(this.mountPoint, directory);
  }

  async remove(directory: string): Promise<void> {
    if (!this.#directories.has(directory)) return;
    const id = this.#nextId++;
    await this.#send({kind: 'remove', id, directory}, id);
    this.#directories.delete(directory);
    // Asking for the name once makes the kernel drop what it has cached below it.
    await lstat(join(this.mountPoint, directory)).catch(() => {
      // ENOENT is the answer we want.
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  async #dispose(): Promise<void> {
    if (this.#state === 'serving') this.#worker.ref();
    this.#stop();
    process.off('exit', this.#stopAtExit);
    await this.#ended;
  }

  /** Unmounts while the thread still serves, then lets it end. Synchronous: it is also the last thing before the process exits. */
  #stop(): void {
    if (this.#state !== 'serving') return;
    this.#state = 'stopping';
    try {
      detachFuse(this.mountPoint);
    } catch (error) {
      this.#log.warn({mountPoint: this.mountPoint, error: errorMessage(error)}, 'the FUSE mount stays behind');
    }
    this.#post({kind: 'stop'});
  }

  #watch(): Promise<void> {
    let reason = 'the kernel ended the connection';
    this.#worker.on('error', (error) => {
      reason = errorMessage(error);
    });
    return new Promise((resolve) => {
      this.#worker.on('exit', () => {
        const expected = this.#state === 'stopping';
        this.#end(`Cannot serve FUSE at "${this.mountPoint}": ${reason}`, expected);
        resolve();
      });
    });
  }

  /** The thread is gone. Closing the device makes every reader get an error instead of waiting for ever. */
  #end(message: string, expected: boolean): void {
    if (!expected) this.#stop();
    this.#state = 'ended';
    this.#port.close();
    close(this.#device);
    close(this.#bell);
    const error = new CodedError('ERR_FUSE_STOPPED', message, {source: 'host'});
    for (const waiter of this.#waiting.values()) waiter.reject(error);
    this.#waiting.clear();
    if (!expected) this.#onError(error);
  }

  #receive(report: FuseReport): void {
    switch (report.kind) {
      case 'ready':
        this.#settle(0);
        return;
      case 'done':
        this.#settle(report.id);
        return;
      case 'read-failed':
        this.#onError(new CodedError('ERR_FUSE_READ', report.message, {source: 'host'}));
        return;
      default:
        report satisfies never;
    }
  }

  #settle(id: number): void {
    this.#waiting.get(id)?.resolve();
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#port.unref();
  }

  #wait(id: number): Promise<void> {
    const waiter = Promise.withResolvers<void>();
    this.#waiting.set(id, waiter);
    this.#port.ref();
    return waiter.promise;
  }

  async #send(command: FuseCommand, id: number, transfer: readonly ArrayBuffer[] = []): Promise<void> {
    if (this.#state !== 'serving')
      throw new CodedError('ERR_FUSE_STOPPED', `Cannot change FUSE at "${this.mountPoint}": it is ${this.#state}`, {source: 'host'});
    const done = this.#wait(id);
    this.#post(command, transfer);
    await done;
  }

  #post(command: FuseCommand, transfer: readonly ArrayBuffer[] = []): void {
    this.#port.postMessage(command, transfer);
    tryWrite(this.#bell, ringing);
  }
}

function assertName(name: string): void {
  const good = name !== '.' && name !== '..' && /^[\x01-\x2e\x30-\x7e]+$/.test(name) && name.length <= 255;
  assert(good, `"${name}" is no file name`);
}

/** Copies bytes into a buffer of their own, since posting a view would copy the whole pool it may lie in. */
function copyExtent(extent: Extent, buffers: ArrayBuffer[]): Extent {
  assert(Number.isSafeInteger(extent.length) && extent.length >= 0, `An extent has the length ${extent.length}`);
  if (extent.source.kind !== 'bytes') return extent;
  assert(extent.source.data.length === extent.length, `An extent of ${extent.length} bytes has ${extent.source.data.length}`);
  const data = new Uint8Array(extent.source.data);
  buffers.push(data.buffer);
  return {length: extent.length, source: {kind: 'bytes', data}};
}
