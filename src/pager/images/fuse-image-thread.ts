/** The main thread's side of the thread that serves images. */
import {MessageChannel, type MessagePort, Worker} from 'node:worker_threads';
import {errorMessage} from '../../core/errors.ts';
import {close, eventfd, tryWrite} from '../../core/libc.ts';
import type {ImageCommand, ImageReport, ImageWorkerData} from './fuse-image-messages.ts';

const eventfdFlags = 0o2004000; // EFD_CLOEXEC | EFD_NONBLOCK
const ringing = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);

export interface ImageThreadEvents {
  readonly onReport: (report: ImageReport) => void;
  /** It has ended by itself: only a new process helps. */
  readonly onEnd: (reason: string) => void;
}

export class ImageThreadClient implements AsyncDisposable {
  readonly #bell: number;
  readonly #port: MessagePort;
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  #waiting = 0;
  #state: 'serving' | 'stopping' | 'ended' = 'serving';
  readonly #stopAtExit = (): void => this.#stop();

  constructor(filesDir: string, events: ImageThreadEvents) {
    this.#bell = eventfd(eventfdFlags);
    const {port1, port2} = new MessageChannel();
    this.#port = port1;
    const data: ImageWorkerData = {bell: this.#bell, port: port2, filesDir};
    // Compiled code lies beside compiled code.
    const script = import.meta.url.endsWith('.ts') ? './fuse-image-worker.ts' : './fuse-image-worker.js';
    this.#worker = new Worker(new URL(script, import.meta.url), {name: 'fuse-images', workerData: data, transferList: [port2]});
    port1.on('message', (report: ImageReport) => events.onReport(report));
    port1.unref();
    this.#ended = this.#watch(events);
    this.#worker.unref();
    // A thread that blocks in poll would keep the process from ending. Mounts are not taken away: the next pager takes them over.
    process.on('exit', this.#stopAtExit);
  }

  #watch({onEnd}: ImageThreadEvents): Promise<void> {
    let reason = 'it returned';
    this.#worker.on('error', (error) => {
      reason = errorMessage(error);
    });
    return new Promise((resolve) => {
      this.#worker.on('exit', () => {
        const expected = this.#state === 'stopping';
        this.#state = 'ended';
        this.#port.close();
        close(this.#bell);
        resolve();
        if (!expected) onEnd(reason);
      });
    });
  }

  tell(command: ImageCommand): void {
    if (this.#state === 'ended') return;
    this.#port.postMessage(command);
    tryWrite(this.#bell, ringing);
  }

  /** Keeps the process alive as long as something is waited for that the thread will say. */
  async waitFor<T>(answer: Promise<T>): Promise<T> {
    this.#waiting += 1;
    this.#port.ref();
    try {
      return await answer;
    } finally {
      this.#waiting -= 1;
      if (this.#waiting === 0) this.#port.unref();
    }
  }

  #stop(): void {
    if (this.#state !== 'serving') return;
    this.#state = 'stopping';
    this.#port.postMessage({kind: 'stop'} satisfies ImageCommand);
    tryWrite(this.#bell, ringing);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#worker.ref();
    this.#stop();
    process.off('exit', this.#stopAtExit);
    await this.#ended;
  }
}
