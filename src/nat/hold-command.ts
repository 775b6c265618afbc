/** What the main thread and the thread that reads the TUN say to each other. */
import type {MessagePort} from 'node:worker_threads';
import type {Trigger} from '../core/trigger.ts';
import type {Flow} from './flow.ts';
import type {HoldLimits} from './hold-queue.ts';
import type {Exposed} from './verdict.ts';

/** What the thread is started with; the descriptors stay the main thread's. */
export interface HoldThreadData {
  readonly tun: number;
  /** A raw socket that the answers in an app's name leave by: through conntrack, which translates them like the app's own. */
  readonly rawSocket: number;
  readonly wakeUp: number;
  readonly limits: HoldLimits;
  readonly commands: MessagePort;
  /** `sharedSlot.sent`: how many commands were sent, so that each is obeyed before the next packet is looked at. */
  readonly shared: SharedArrayBuffer;
  /** Of all apps (hold-queue.ts, `countSlot`). */
  readonly counts: Int32Array<SharedArrayBuffer>;
}

export type HoldCommand =
  | {readonly kind: 'add'; readonly address: number; readonly expose: readonly Exposed[]; readonly countsAt: number}
  | {readonly kind: 'sleep'; readonly address: number; readonly flows: 'unknown' | readonly Flow[]; readonly epoch: number}
  | {readonly kind: 'set flows'; readonly address: number; readonly flows: readonly Flow[]}
  | {readonly kind: 'wake' | 'remove'; readonly address: number}
  | {readonly kind: 'refuse'; readonly address: number; readonly epoch: number}
  | {readonly kind: 'stop'};

export type HoldReport =
  /** The first packet since the sleep (or refusal) of this epoch that asks for a wake. */
  {readonly kind: 'wanted'; readonly address: number; readonly epoch: number; readonly trigger: Trigger} | {readonly kind: 'problem'; readonly message: string};

export const sharedSlot = {sent: 0, count: 1} as const;
