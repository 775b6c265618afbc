/** What a client's connection tells of a request. Times are of Clock.monotonicMs. */
import type {BodyLength, RequestHead} from './message.ts';

/** One whose head is here. */
export interface IncomingRequest {
  readonly head: RequestHead;
  readonly length: BodyLength;
  /** How many came before it on its connection. */
  readonly index: number;
  /** When its connection was accepted, or the answer before it was complete. */
  readonly idleSinceMs: number;
  readonly firstByteMs: number;
  readonly headBytes: number;
}

/** One that could not be read. */
export interface BrokenRequest {
  readonly status: number;
  /** Not HTTP, not in time, or not before the client has left. */
  readonly cause: 'malformed' | 'late' | 'left';
  readonly reason: string;
  readonly idleSinceMs: number;
  /** 0: nothing came but empty lines. */
  readonly firstByteMs: number;
  /** What came of it. */
  readonly bytes: Buffer;
}
