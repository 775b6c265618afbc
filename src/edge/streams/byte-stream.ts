/**
 * What the edge does with a connection, be it one of ours (stream-socket.ts) or one of Node's, as those under TLS are. The meaning of each
 * member is that of `net.Socket`, with half-open allowed.
 */
export interface ByteStream {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly destroyed: boolean;
  readonly closed: boolean;
  readonly readableEnded: boolean;
  readonly writable: boolean;
  readonly writableNeedDrain: boolean;
  /** Bytes that the kernel has not taken yet. */
  readonly writableLength: number;
  on(event: 'data', listener: (chunk: Buffer) => void): this;
  on(event: 'error', listener: (error: Error) => void): this;
  on(event: 'connect' | 'drain' | 'end' | 'close', listener: () => void): this;
  once(event: 'data', listener: (chunk: Buffer) => void): this;
  once(event: 'error', listener: (error: Error) => void): this;
  once(event: 'connect' | 'drain' | 'end' | 'close', listener: () => void): this;
  off(event: 'data', listener: (chunk: Buffer) => void): this;
  off(event: 'error', listener: (error: Error) => void): this;
  off(event: 'connect' | 'drain' | 'end' | 'close', listener: () => void): this;
  pause(): this;
  resume(): this;
  /** The bytes come first again. */
  unshift(bytes: Buffer): void;
  write(chunk: Buffer): boolean;
  write(text: string, encoding: 'latin1'): boolean;
  /** What is written waits until `uncork`. */
  cork(): void;
  uncork(): void;
  end(): this;
  destroy(error?: Error): this;
  destroySoon(): void;
  resetAndDestroy(): this;
}

/** Takes what a connection has, instead of listeners of 'data', 'end' and 'drain'. */
export interface StreamReceiver {
  /** They may be kept only until this returns. */
  bytes(from: ByteStream, borrowed: Buffer): void;
  /** The other side says no more. */
  ended(from: ByteStream): void;
  /** There is room again for what is written. */
  drained(of: ByteStream): void;
}
