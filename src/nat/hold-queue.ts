/**
 * Packets for sleeping apps, held in order of arrival until the app is woken or refused. Pure: packets and the time come in,
 * packets to write go out. Everything is bounded: packets and bytes per app and in all, and the age of what is held.
 */
import type {Trigger} from '../core/trigger.ts';
import {resetInPlaceOf, unreachable, unreachableFor} from './answer.ts';
import {type Flow, type FlowState, flowKey, flowTable} from './flow.ts';
import {type Packet, parsePacket} from './packet.ts';
import {type Exposed, refusalOf, type Verdict, verdictOn} from './verdict.ts';

export interface HoldLimits {
  readonly packetsPerApp: number;
  readonly bytesPerApp: number;
  readonly packets: number;
  readonly bytes: number;
  readonly ageMs: number;
}

/** What happened to an app's packets since it was added. */
export interface HoldCounts {
  /** Taken into the queue. */
  readonly held: number;
  /** Given up because the wake failed. */
  readonly refused: number;
  /** Dropped because the queue was full. */
  readonly overflowed: number;
  /** Given up because they had waited too long. */
  readonly expired: number;
  readonly answeredKeepalives: number;
}

/** Where each count of an app is, from its first one on, in the array that the queue counts in, which another thread may read. `wanted` is its owner's. */
export const countSlot = {wanted: 0, held: 1, refused: 2, overflowed: 3, expired: 4, answeredKeepalives: 5} as const satisfies Record<
  'wanted' | keyof HoldCounts,
  number
>;
export const countSlots = 6;

/** What is to be done about one packet: written back to the app's network, or sent as the app's answer. */
export type Handling =
  | {readonly action: 'deliver'; readonly packet: Buffer}
  | {readonly action: 'answer'; readonly packet: Buffer}
  | {readonly action: 'wanted'; readonly trigger: Trigger}
  | null;

interface Held {
  readonly packet: Packet;
  readonly atMs: number;
  readonly kept: boolean;
  readonly key: string | null;
}

interface App {
  readonly expose: readonly Exposed[];
  /** Where its counts begin. */
  readonly countsAt: number;
  awake: boolean;
  flows: 'unknown' | Map<string, FlowState>;
  /** Null when nothing is held, as for most of thousands of apps. */
  queue: Queue | null;
}

interface Queue {
  readonly held: Held[];
  readonly keys: Set<string>;
  bytes: number;
  keptCount: number;
  /** First fragments that are held: their later ones follow. */
  readonly fragments: Set<string>;
}

function fragmentKey(packet: Packet): string {
  return `${packet.source}:${packet.protocol}:${packet.identification}`;
}

export class HoldQueue {
  readonly #limits: HoldLimits;
  readonly #counts: Int32Array;
  readonly #apps = new Map<number, App>();
  #packets = 0;
  #bytes = 0;

  /** @param counts see `countSlot` */
  constructor(limits: HoldLimits, counts: Int32Array) {
    this.#limits = limits;
    this.#counts = counts;
  }

  /** The app sleeps from now on, without connections. @param countsAt where its counts begin */
  add(address: number, expose: readonly Exposed[], countsAt: number): void {
    this.#apps.set(address, {expose, countsAt, awake: false, flows: flowTable([]), queue: null});
  }

  remove(address: number): void {
    const app = this.#apps.get(address);
    if (app !== undefined) this.#take(app);
    this.#apps.delete(address);
  }

  sleep(address: number, flows: 'unknown' | readonly Flow[]): void {
    const app = this.#apps.get(address);
    if (app === undefined) return;
    app.awake = false;
    app.flows = flows === 'unknown' ? 'unknown' : flowTable(flows);
  }

  /** Now that the connections are known, what was held on suspicion is judged again. @returns answers to send */
  setFlows(address: number, flows: readonly Flow[], nowMs: number): Buffer[] {
    const app = this.#apps.get(address);
    if (app === undefined || app.awake) return [];
    app.flows = flowTable(flows);
    const answers: Buffer[] = [];
    for (const {packet, atMs} of this.#take(app)) {
      const handling = packet.transport.kind === 'later fragment' ? this.#holdFragment(app, packet, atMs) : this.#judge(app, packet, {atMs, nowMs});
      if (handling?.action === 'answer') answers.push(handling.packet);
    }
    return answers;
  }

  /** The app's network is reachable again. @returns what was held, to be written back in this order */
  wake(address: number): Buffer[] {
    const app = this.#apps.get(address);
    if (app === undefined) return [];
    app.awake = true;
    return this.#take(app).map(({packet}) => packet.data);
  }

  /** Gives up on what is held, but for the ends of connections. @returns answers to send */
  refuse(address: number): Buffer[] {
    const app = this.#apps.get(address);
    return app === undefined ? [] : this.#giveUp(app, () => true, 'refused');
  }

  /** Gives up on what is too old. @returns answers to send */
  expire(nowMs: number): Buffer[] {
    const answers: Buffer[] = [];
    for (const app of this.#apps.values()) {
      const isOld = (held: Held): boolean => held.atMs + this.#limits.ageMs <= nowMs;
      if (app.queue?.held.some((held) => !held.kept && isOld(held)) === true) answers.push(...this.#giveUp(app, isOld, 'expired'));
    }
    return answers;
  }

  /** When `expire` has something to do next; Infinity while nothing can expire. */
  nextExpiryMs(): number {
    let next = Number.POSITIVE_INFINITY;
    if (this.#packets === 0) return next;
    for (const app of this.#apps.values()) {
      const oldest = app.queue?.held.find((held) => !held.kept);
      if (oldest !== undefined) next = Math.min(next, oldest.atMs + this.#limits.ageMs);
    }
    return next;
  }

  /** One packet that the route to the sleeping brought. The queue keeps `raw`. */
  packet(raw: Buffer, nowMs: number): Handling {
    const packet = parsePacket(raw);
    if (packet === undefined) return null;
    const app = this.#apps.get(packet.destination);
    if (app === undefined) {
      const isComplaint = packet.transport.kind === 'icmp' || packet.transport.kind === 'later fragment';
      const answer = isComplaint ? null : unreachableFor(packet, unreachable.host);
      return answer === null ? null : {action: 'answer', packet: answer};
    }
    if (app.awake) return {action: 'deliver', packet: packet.data};
    return packet.transport.kind === 'later fragment' ? this.#holdFragment(app, packet, nowMs) : this.#judge(app, packet, {atMs: nowMs, nowMs});
  }

  #judge(app: App, packet: Packet, time: {atMs: number; nowMs: number}): Handling {
    const verdict = verdictOn(packet, app, time.nowMs);
    switch (verdict.action) {
      case 'hold':
        return this.#hold(app, packet, verdict, time.atMs);
      case 'answer':
        return verdict.answer === null ? null : {action: 'answer', packet: verdict.answer};
      case 'answer keepalive':
        verdict.flow.answeredAtMs = time.nowMs;
        this.#count(app, 'answeredKeepalives');
        return verdict.answer === null ? null : {action: 'answer', packet: verdict.answer};
      case 'drop':
        return null;
      default:
        return verdict satisfies never;
    }
  }

  #hold(app: App, packet: Packet, verdict: Extract<Verdict, {action: 'hold'}>, atMs: number): Handling {
    if (verdict.key !== null && app.queue?.keys.has(verdict.key) === true) return null;
    if (this.#store(app, {packet, atMs, kept: verdict.kept, key: verdict.key})) {
      this.#count(app, 'held');
      if (packet.moreFragments) app.queue?.fragments.add(fragmentKey(packet));
    }
    // Even where there is no room for the packet its sender is there, and will send it again.
    return verdict.wanted === null ? null : {action: 'wanted', trigger: verdict.wanted};
  }

  #holdFragment(app: App, packet: Packet, atMs: number): Handling {
    if (app.queue?.fragments.has(fragmentKey(packet)) === true) this.#store(app, {packet, atMs, kept: false, key: null});
    return null;
  }

  #store(app: App, held: Held): boolean {
    const size = held.packet.data.length;
    const queue = app.queue ?? {held: [], keys: new Set(), bytes: 0, keptCount: 0, fragments: new Set()};
    // What is kept has a share of its own: many ended connections must not stand in the way of a new one.
    const inShare = held.kept ? queue.keptCount : queue.held.length - queue.keptCount;
    const fits = inShare < this.#limits.packetsPerApp && queue.bytes + size <= this.#limits.bytesPerApp;
    if (!fits || this.#packets >= this.#limits.packets || this.#bytes + size > this.#limits.bytes) {
      this.#count(app, 'overflowed');
      return false;
    }
    app.queue = queue;
    queue.held.push(held);
    queue.bytes += size;
    if (held.kept) queue.keptCount++;
    if (held.key !== null) queue.keys.add(held.key);
    this.#packets++;
    this.#bytes += size;
    return true;
  }

  #count(app: App, what: keyof HoldCounts): void {
    Atomics.add(this.#counts, app.countsAt + countSlot[what], 1);
  }

  /** Empties the app's queue. */
  #take(app: App): Held[] {
    const {queue} = app;
    if (queue === null) return [];
    this.#packets -= queue.held.length;
    this.#bytes -= queue.bytes;
    app.queue = null;
    return queue.held;
  }

  #giveUp(app: App, isDue: (held: Held) => boolean, why: 'refused' | 'expired'): Buffer[] {
    const answers: Buffer[] = [];
    for (const held of this.#take(app)) {
      if (held.kept || !isDue(held)) {
        this.#store(app, held);
        continue;
      }
      this.#count(app, why);
      const answer = refusalOf(held.packet);
      if (answer === null) continue;
      answers.push(answer);
      this.#endFlow(app, held);
    }
    return answers;
  }

  /** The client of an established connection was told that it is over; the app hears the same when it wakes. */
  #endFlow(app: App, {packet, atMs}: Held): void {
    const {transport} = packet;
    if (transport.kind !== 'tcp' || app.flows === 'unknown') return;
    const flow = flowKey({localPort: transport.destinationPort, remote: packet.source, remotePort: transport.sourcePort});
    if (!app.flows.delete(flow)) return;
    const reset = parsePacket(resetInPlaceOf(packet, transport));
    if (reset !== undefined) this.#store(app, {packet: reset, atMs, kept: true, key: `${flow}:ended`});
  }
}
