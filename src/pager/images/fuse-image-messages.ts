import type {MessagePort} from 'node:worker_threads';

/** What the thread that serves images is started with. Descriptors stay the main thread's: it closes them after the thread has let go of them. */
export interface ImageWorkerData {
  /** An eventfd: written after each command has been posted. */
  readonly bell: number;
  readonly port: MessagePort;
  /** Where the cache keeps contents, see rootfs-image-cache.ts. */
  readonly filesDir: string;
}

export interface ServePlan {
  readonly mount: number;
  readonly device: number;
  /** The tree as it is encoded in the image. */
  readonly treeData: Uint8Array;
  /** Which files are open and how, for the one who takes over from us. */
  readonly opensPath: string;
  readonly passthrough: boolean;
  /** The device was another process's, which is gone: what it was asked is asked again. */
  readonly takenOver: boolean;
}

/** A `piece` is the index of a chunk in a file. */
export type ImageCommand =
  | {readonly kind: 'serve'; readonly plan: ServePlan}
  /** These pieces of a content are in the cache now, in the file `part`; null when the content is complete. */
  | {readonly kind: 'stored'; readonly key: string; readonly pieces: readonly number[]; readonly part: string | null | undefined}
  /** A piece that will not come, because it is damaged: its readers get an error. */
  | {readonly kind: 'failed'; readonly key: string; readonly piece: number}
  /** The cache has removed a content of which it had a part. */
  | {readonly kind: 'dropped'; readonly key: string}
  | {readonly kind: 'count'; readonly id: number; readonly mount: number}
  | {readonly kind: 'stop'};

/** Requests of the kernel by kind, since this process serves the mount. */
export type RequestCounts = Readonly<Record<string, number>>;

export type ImageReport =
  | {readonly kind: 'ready'; readonly mount: number}
  /** A reader waits for it. Once per piece, until it is stored, failed or dropped. */
  | {readonly kind: 'wanted'; readonly mount: number; readonly nodeId: number; readonly key: string; readonly piece: number}
  /** A content that is complete was opened. */
  | {readonly kind: 'used'; readonly key: string}
  | {readonly kind: 'no-passthrough'; readonly mount: number; readonly reason: string}
  | {readonly kind: 'error'; readonly mount: number; readonly message: string}
  | {readonly kind: 'counted'; readonly id: number; readonly counts: RequestCounts}
  /** The kernel has ended the connection; the device may be closed. */
  | {readonly kind: 'ended'; readonly mount: number};
