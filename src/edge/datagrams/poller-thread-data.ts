/** What the poller and its thread share. */

export const pollerState = {
  /** The main thread polls; the other one sleeps. */
  polling: 0,
  /** The other thread waits for datagrams. */
  waiting: 1,
  ended: 2,
} as const;

export interface PollerThreadData {
  readonly epoll: number;
  /** One Int32 with a `pollerState`. */
  readonly state: SharedArrayBuffer;
}
