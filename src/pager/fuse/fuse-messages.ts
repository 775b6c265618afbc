import type {MessagePort} from 'node:worker_threads';
import type {FuseFiles} from './fuse-files.ts';

/** What the serving thread is started with. The descriptors stay the main thread's: it closes them after the thread has ended. */
export interface FuseWorkerData {
  readonly device: number;
  /** An eventfd: written after each command has been posted. */
  readonly bell: number;
  readonly port: MessagePort;
}

export type FuseCommand =
  | {readonly kind: 'add'; readonly id: number; readonly directory: string; readonly files: FuseFiles}
  | {readonly kind: 'remove'; readonly id: number; readonly directory: string}
  | {readonly kind: 'stop'};

export type FuseReport =
  /** The kernel's INIT has been answered: the file system works. */
  | {readonly kind: 'ready'}
  | {readonly kind: 'done'; readonly id: number}
  /** A reader got an error. Once per file. */
  | {readonly kind: 'read-failed'; readonly message: string};
