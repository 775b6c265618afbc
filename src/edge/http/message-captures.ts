/** The last request of each frontend, and the last answer for each backend, that could not be read: for an operator who asks what it was. */

/** Of whom it came, and what is wrong with it. */
export interface UnreadMessage {
  readonly source: {readonly host: string; readonly port: number};
  readonly frontend: string;
  readonly backend: string | null;
  readonly server: string | null;
  /** What was here of it, at most `maxCapturedBytes`. */
  readonly bytes: Buffer;
  /** Where in the bytes it is wrong. */
  readonly position: number;
  readonly reason: string;
}

export interface CapturedMessage extends UnreadMessage {
  readonly kind: 'request' | 'response';
  /** How many were captured before it. */
  readonly event: number;
  readonly atMs: number;
}

/** What `tune.bufsize` is where nobody has changed it. */
export const maxCapturedBytes = 16_384;

export class MessageCaptures {
  readonly #last = new Map<string, CapturedMessage>();
  #count = 0;

  /** Of all, also those that are not kept any more. */
  get count(): number {
    return this.#count;
  }

  list(): readonly CapturedMessage[] {
    return [...this.#last.values()];
  }

  /** Copies the bytes. @param nowMs Clock.nowMs */
  keep(kind: CapturedMessage['kind'], message: UnreadMessage, nowMs: number): void {
    const bytes = Buffer.from(message.bytes.subarray(0, maxCapturedBytes));
    const proxy = kind === 'request' ? message.frontend : (message.backend ?? '');
    this.#last.set(`${kind} ${proxy}`, {...message, bytes, position: Math.min(message.position, bytes.length), kind, event: this.#count++, atMs: nowMs});
  }
}
