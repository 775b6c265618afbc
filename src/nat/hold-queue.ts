/**
 * Packets for sleeping apps, held in order of arrival until the app is woken or refused. Pure: packets and the time come in,
 * packets to write go out. Everything is bounded: packets and bytes per app and in all, and the age of what is held.
 */
import type {Trigger} from '../core/trigger.ts';
import {resetInPlaceOf, unreachable, unreachableFor} from './answer.ts';
import {type Flow, type FlowState, flowKey, flowTable} from './flow.ts';
import {type Packet, parsePacket} from './packet.ts';
import {refusalOf, type Verdict, verdictOn} from './verdict.ts';

/** A port of an app that may be asked for. */
export interface Exposed {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
}

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

/** Where each count is in the array that the queue counts in, which another thread may read. `wanted` is its owner's. */
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
  readonly tcpPorts: ReadonlySet<number>;
  readonly udpPorts: ReadonlySet<number>;
  readonly counts: Int32Array;
  awake: boolean;
  flows: 'unknown' | Map<string, FlowState>;
  held: Held[];
  keys: Set<string>;
  bytes: number;
  keptCount: number;
  /** First fragments that are held: their later ones follow. */
  fragments: Set<string>;
}

function ports(expose: readonly Exposed[], protocol: Exposed['protocol']): ReadonlySet<number> {
  return new Set(expose.filter((entry) => entry.protocol === protocol).map((entry) => entry.port));
}

function fragmentKey(packet: Packet): string {
  return `${packet.source}:${packet.protocol}:${packet.identification}`;
}

export class HoldQueue {
  readonly #limits: HoldLimits;
  readonly #apps = new Map<number, App>();
  #packets = 0;
  #bytes = 0;

  constructor(limits: HoldLimits) {
    this.#limits = limits;
  }

  /** The app sleeps from now on, without connections. @param counts see `countSlot` */
  add(address: number, expose: readonly Exposed[], counts: Int32Array): void {
    this.#apps.set(address, {
      tcpPorts: ports(expose, 'tcp'),
      udpPorts: ports(expose, 'udp'),
      counts,
      awake: false,
      flows: new Map(),
      held: [],
      keys: new Set(),
      bytes: 0,
      keptCount: 0,
      fragments: new Set(),
    });
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
      if (app.held.length > app.keptCount && app.held.some((held) => !held.kept && isOld(held))) answers.push(...this.#giveUp(app, isOld, 'expired'));
    }
    return answers;
  }

  /** When `expire` has something to do next; Infinity while nothing can expire. */
  nextExpiryMs(): number {
    let next = Number.POSITIVE_INFINITY;
    if (this.#packets === 0) return next;
    for (const app of this.#apps.values()) {
      if (app.held.length === app.keptCount) continue;
      const oldest = app.held.find((held) => !held.kept);
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
        Atomics.add(app.counts, countSlot.answeredKeepalives, 1);
        return verdict.answer === null ? null : {action: 'answer', packet: verdict.answer};
      case 'drop':
        return null;
      default:
        return verdict satisfies never;
    }
  }

  #hold(app: App, packet: Packet, verdict: Extract<Verdict, {action: 'hold'}>, atMs: number): Handling {
    if (verdict.key !== null && app.keys.has(verdict.key)) return null;
    if (this.#store(app, {packet, atMs, kept: verdict.kept, key: verdict.key})) {
      Atomics.add(app.counts, countSlot.held, 1);
      if (packet.moreFragments) app.fragments.add(fragmentKey(packet));
    }
    // Even where there is no room for the packet its sender is there, and will send it again.
    return verdict.wanted === null ? null : {action: 'wanted', trigger: verdict.wanted};
  }

  #holdFragment(app: App, packet: Packet, atMs: number): Handling {
    if (app.fragments.has(fragmentKey(packet))) this.#store(app, {packet, atMs, kept: false, key: null});
    return null;
  }

  #store(app: App, held: Held): boolean {
    const size = held.packet.data.length;
    // What is kept has a share of its own: many ended connections must not stand in the way of a new one.
    const inShare = held.kept ? app.keptCount : app.held.length - app.keptCount;
    const fits = inShare < this.#limits.packetsPerApp && app.bytes + size <= this.#limits.bytesPerApp;
    if (!fits || this.#packets >= this.#limits.packets || this.#bytes + size > this.#limits.bytes) {
      Atomics.add(app.counts, countSlot.overflowed, 1);
      return false;
    }
    app.held.push(held);
    app.bytes += size;
    if (held.kept) app.keptCount++;
    if (held.key !== null) app.keys.add(held.key);
    this.#packets++;
    this.#bytes += size;
    return true;
  }

  /** Empties the app's queue. */
  #take(app: App): Held[] {
    const {held} = app;
    this.#packets -= held.length;
    this.#bytes -= app.bytes;
    app.held = [];
    app.keys = new Set();
    app.fragments = new Set();
    app.bytes = 0;
    app.keptCount = 0;
    return held;
  }

  #giveUp(app: App, isDue: (held: Held) => boolean, why: 'refused' | 'expired'): Buffer[] {
    const answers: Buffer[] = [];
    for (const held of this.#take(app)) {
      if (held.kept || !isDue(held)) {
        this.#store(app, held);
        continue;
      }
      Atomics.add(app.counts, countSlot[why], 1);
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
