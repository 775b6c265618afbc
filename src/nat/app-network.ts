/** The network of one app: its namespace and veth, and whether packets go to it or into the hold queue. */
import {readFile} from 'node:fs/promises';
import type {AppName, GatewayIdentity} from '../core/ids.ts';
import {withinNetns} from '../core/netns.ts';
import type {Trigger} from '../core/trigger.ts';
import type {Flow} from './flow.ts';
import {countSlot, countSlots, type Exposed, type HoldCounts} from './hold-queue.ts';
import type {HoldThread} from './hold-thread.ts';
import {applyIp, applyNft, disableIpv6, removeLinks, setSysctl} from './host-network.ts';
import {appAddress, gatewayAddress, ipv4ToNumber, type Range, rangeText} from './ipv4.ts';
import {appCommands, hostCommands, namespacePath} from './links.ts';
import {namespaceName, vethName} from './names.ts';
import type {HostRoute} from './netlink.ts';
import type {RouteSwitch} from './netlink-socket.ts';
import {addAppText, removeAppText} from './nft-rules.ts';
import type {TrafficClock} from './traffic-clock.ts';

/** What an app's network needs of the gateway's. */
export interface NatShared {
  readonly identity: GatewayIdentity;
  readonly range: Range;
  readonly thread: HoldThread;
  readonly routes: RouteSwitch;
  readonly traffic: TrafficClock;
  readonly onWanted: (app: AppName, trigger: Trigger) => void;
}

export interface AppSpec {
  readonly name: AppName;
  /** From 0; gives the app its fixed address, so it must stay the same over restarts of the gateway. */
  readonly index: number;
  readonly expose: readonly Exposed[];
}

/** Disposing removes the namespace, even while processes are in it: they keep it, without an interface. */
export interface AppNetwork extends AsyncDisposable {
  readonly address: string;
  /** The gateway's, `10.77.0.0/16`. */
  readonly range: string;
  readonly netnsPath: string;
  /**
   * From now on packets for the app are held. Synchronous, some tens of microseconds. @param flows its established
   * connections; data of another is answered with a RST. `unknown` (during a dump): what could be of one is held.
   * @throws CodedError ERR_ROUTE_FAILED
   */
  sleep(flows: 'unknown' | readonly Flow[]): void;
  /** After `sleep('unknown')`, once the connections are known: what is held is judged anew. */
  setFlows(flows: readonly Flow[]): void;
  /** How many packets asked for a wake since `sleep()` or `refuse()`. */
  wantedPackets(): number;
  /** Packets go to the app again, first those that were held. Synchronous. @throws CodedError ERR_ROUTE_FAILED */
  wake(): void;
  /** The wake failed: those whose packets are held are told so, and the app sleeps on. The next packet asks again. */
  refuse(): void;
  /** `performance.now()` of the last packet in or out that says something (no bare ACK, no keepalive probe); before the first: when the app was added. */
  lastTraffic(): Promise<number>;
  counters(): HoldCounts;
}

export class VethNetwork implements AppNetwork {
  readonly name: AppName;
  readonly address: string;
  readonly netnsPath: string;
  readonly #shared: NatShared;
  readonly #route: HostRoute;
  readonly #counts: Int32Array<SharedArrayBuffer>;
  readonly #remove: () => Promise<void>;
  readonly #addedAtMs = performance.now();
  #epoch = 0;
  #state: 'awake' | 'asleep' | 'removed' = 'asleep';

  constructor(options: {
    spec: AppSpec;
    shared: NatShared;
    route: HostRoute;
    address: string;
    netnsPath: string;
    counts: SharedArrayBuffer;
    remove: () => Promise<void>;
  }) {
    this.name = options.spec.name;
    this.address = options.address;
    this.netnsPath = options.netnsPath;
    this.#shared = options.shared;
    this.#route = options.route;
    this.#counts = new Int32Array(options.counts);
    this.#remove = options.remove;
  }

  get range(): string {
    return rangeText(this.#shared.range);
  }

  sleep(flows: 'unknown' | readonly Flow[]): void {
    if (this.#state === 'removed') return;
    this.#state = 'asleep';
    Atomics.store(this.#counts, countSlot.wanted, 0);
    // First the hold queue, then the route: no packet may come to a queue that takes the app to be awake.
    this.#shared.thread.send({kind: 'sleep', address: this.#route.destination, flows, epoch: ++this.#epoch});
    this.#shared.routes.remove(this.#route);
  }

  setFlows(flows: readonly Flow[]): void {
    if (this.#state === 'asleep') this.#shared.thread.send({kind: 'set flows', address: this.#route.destination, flows});
  }

  wantedPackets(): number {
    return Atomics.load(this.#counts, countSlot.wanted);
  }

  wake(): void {
    if (this.#state === 'removed') return;
    // First the route: a packet written back without it would come straight back.
    this.#shared.routes.add(this.#route);
    this.#state = 'awake';
    this.#shared.thread.send({kind: 'wake', address: this.#route.destination});
  }

  refuse(): void {
    if (this.#state !== 'asleep') return;
    Atomics.store(this.#counts, countSlot.wanted, 0);
    this.#shared.thread.send({kind: 'refuse', address: this.#route.destination, epoch: ++this.#epoch});
  }

  /** Reports from before the last sleep, refusal or wake are stale. */
  wanted(epoch: number, trigger: Trigger): void {
    if (this.#state === 'asleep' && epoch === this.#epoch) this.#shared.onWanted(this.name, trigger);
  }

  async lastTraffic(): Promise<number> {
    return Promise.resolve(this.#shared.traffic.last(this.#route.destination) ?? this.#addedAtMs);
  }

  counters(): HoldCounts {
    const read = (slot: number): number => Atomics.load(this.#counts, slot);
    return {
      held: read(countSlot.held),
      refused: read(countSlot.refused),
      overflowed: read(countSlot.overflowed),
      expired: read(countSlot.expired),
      answeredKeepalives: read(countSlot.answeredKeepalives),
    };
  }

  /** The gateway removes all of its own at once. */
  abandon(): void {
    this.#state = 'removed';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'removed') return;
    this.#state = 'removed';
    this.#shared.thread.send({kind: 'remove', address: this.#route.destination});
    await this.#remove();
  }
}

async function hostSettings(interfaceName: string): Promise<void> {
  // Loose: while the app sleeps, the way to its address is another than the way its last packets come.
  await setSysctl(`conf/${interfaceName}/rp_filter`, '2');
  // Answers to clients on 127.0.0.1 carry that address for a moment.
  await setSysctl(`conf/${interfaceName}/route_localnet`, '1');
}

/**
 * Makes namespace and veth of an app that sleeps; on any failure nothing is left behind.
 * @throws CodedError ERR_RANGE_FULL, ERR_SYSCTL_FAILED; CommandError
 */
export async function addAppNetwork(spec: AppSpec, shared: NatShared, onRemoved: () => void): Promise<VethNetwork> {
  const address = appAddress(shared.range, spec.index);
  const interfaceName = vethName(shared.identity, spec.index);
  const namespace = namespaceName(shared.identity, spec.index);
  const link = {namespace, interfaceName, address, gateway: gatewayAddress(shared.range), index: spec.index};
  const elements = {identity: shared.identity, interfaceName, address};
  await using scope = new AsyncDisposableStack();
  scope.defer(onRemoved);
  scope.defer(() => removeLinks({interfaces: [interfaceName], namespaces: [namespace]}));
  await applyIp(hostCommands(link));
  scope.defer(() => applyNft(removeAppText(elements)));
  disableIpv6(interfaceName);
  withinNetns(namespacePath(namespace), () => disableIpv6('eth0'));
  await Promise.all([applyNft(addAppText(elements)), applyIp(appCommands(link), {namespace}), hostSettings(interfaceName)]);
  const interfaceIndex = Number(await readFile(`/sys/class/net/${interfaceName}/ifindex`, 'utf8'));
  const route = {destination: ipv4ToNumber(address), interfaceIndex, source: ipv4ToNumber(link.gateway)};
  const counts = new SharedArrayBuffer(countSlots * 4);
  shared.thread.send({kind: 'add', address: route.destination, expose: spec.expose.map(({protocol, port}) => ({protocol, port})), counts});
  const owned = scope.move();
  return new VethNetwork({spec, shared, route, address, netnsPath: namespacePath(namespace), counts, remove: () => owned.disposeAsync()});
}
