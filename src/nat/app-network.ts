/**
 * The network of one app: its namespace and veth, and whether packets go to it or into the hold queue. A sleeper's address leads into the hold queue
 * without either, so they are made when something is about to run in them: of a thousand sleeping apps the kernel knows nothing.
 */
import {run} from '../core/command.ts';
import {assert} from '../core/errors.ts';
import type {AppName, GatewayIdentity} from '../core/ids.ts';
import {interfaceIndex} from '../core/libc.ts';
import {withinNetns} from '../core/netns.ts';
import type {Trigger} from '../core/trigger.ts';
import type {Flow} from './flow.ts';
import {countSlot, countSlots, type HoldCounts} from './hold-queue.ts';
import type {HoldThread} from './hold-thread.ts';
import {applyIp, applyNft, disableIpv6, removeLinks, setSysctl} from './host-network.ts';
import {appAddress, gatewayAddress, ipv4ToNumber, type Range, rangeText} from './ipv4.ts';
import {type AppLink, appCommands, hostCommands, namespacePath} from './links.ts';
import {namespaceName, vethName} from './names.ts';
import type {HostRoute} from './netlink.ts';
import type {RouteSwitch} from './netlink-socket.ts';
import {type AppElements, addAppText, removeAppText} from './nft-rules.ts';
import type {TrafficClock} from './traffic-clock.ts';
import type {Exposed} from './verdict.ts';

const dropTimeoutMs = 5000;

/** What an app's network needs of the gateway's. */
export interface NatShared {
  readonly identity: GatewayIdentity;
  readonly range: Range;
  readonly thread: HoldThread;
  /** What the thread counts, of all addresses of the range. */
  readonly counts: Int32Array<SharedArrayBuffer>;
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
  /** Exists from the first `prepare()` on. */
  readonly netnsPath: string;
  /** Makes namespace and veth, if they are not there; some ten milliseconds. Needed before `wake()`. @throws CodedError ERR_SYSCTL_FAILED; CommandError */
  prepare(): Promise<void>;
  /** Goes on with the namespace and the veth that a gateway which was killed has left. Instead of `prepare()`. @throws SystemCallError; CommandError */
  takeOver(): Promise<void>;
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
  /**
   * Closes the TCP connections of the namespace, whoever has them, also those that no process has any more: for up to a minute after the end of an app
   * the kernel keeps them, and another socket cannot have the same addresses. @throws CommandError
   */
  dropSockets(): Promise<void>;
  /** `performance.now()` of the last packet in or out that says something (no bare ACK, no keepalive probe); before the first: when the app was added. */
  lastTraffic(): Promise<number>;
  counters(): HoldCounts;
}

/** What `prepare()` has made. */
interface Veth extends AsyncDisposable {
  readonly route: HostRoute;
}

export class VethNetwork implements AppNetwork {
  readonly name: AppName;
  readonly address: string;
  readonly netnsPath: string;
  readonly #shared: NatShared;
  readonly #index: number;
  readonly #destination: number;
  readonly #onRemoved: () => void;
  readonly #addedAtMs = performance.now();
  #preparing: Promise<void> | undefined;
  #veth: Veth | undefined;
  #epoch = 0;
  #state: 'awake' | 'asleep' | 'removed' = 'asleep';

  /** Packets for the app are held from now on. @throws CodedError ERR_RANGE_FULL */
  constructor({name, index, expose}: AppSpec, shared: NatShared, onRemoved: () => void) {
    this.name = name;
    this.address = appAddress(shared.range, index);
    this.netnsPath = namespacePath(namespaceName(shared.identity, index));
    this.#shared = shared;
    this.#index = index;
    this.#destination = ipv4ToNumber(this.address);
    this.#onRemoved = onRemoved;
    shared.counts.fill(0, index * countSlots, (index + 1) * countSlots);
    shared.thread.send({kind: 'add', address: this.#destination, expose: expose.map(({protocol, port}) => ({protocol, port})), countsAt: index * countSlots});
  }

  get range(): string {
    return rangeText(this.#shared.range);
  }

  prepare(): Promise<void> {
    return this.#makeOnce(addVeth);
  }

  takeOver(): Promise<void> {
    return this.#makeOnce(takeOverVeth);
  }

  #makeOnce(make: (of: VethOf) => Promise<Veth>): Promise<void> {
    this.#preparing ??= this.#make(make).catch((error: unknown) => {
      this.#preparing = undefined;
      throw error;
    });
    return this.#preparing;
  }

  async #make(make: (of: VethOf) => Promise<Veth>): Promise<void> {
    const veth = await make({shared: this.#shared, index: this.#index, address: this.address});
    if (this.#state === 'removed') return veth[Symbol.asyncDispose]();
    this.#veth = veth;
  }

  sleep(flows: 'unknown' | readonly Flow[]): void {
    if (this.#state === 'removed') return;
    this.#state = 'asleep';
    Atomics.store(this.#shared.counts, this.#countAt('wanted'), 0);
    // First the hold queue, then the route: no packet may come to a queue that takes the app to be awake.
    this.#shared.thread.send({kind: 'sleep', address: this.#destination, flows, epoch: ++this.#epoch});
    if (this.#veth !== undefined) this.#shared.routes.remove(this.#veth.route);
  }

  setFlows(flows: readonly Flow[]): void {
    if (this.#state === 'asleep') this.#shared.thread.send({kind: 'set flows', address: this.#destination, flows});
  }

  wantedPackets(): number {
    return this.#count('wanted');
  }

  wake(): void {
    if (this.#state === 'removed') return;
    assert(this.#veth !== undefined, `The network of app "${this.name}" is to be used and was not prepared`);
    // First the route: a packet written back without it would come straight back.
    this.#shared.routes.add(this.#veth.route);
    this.#state = 'awake';
    this.#shared.thread.send({kind: 'wake', address: this.#destination});
  }

  async dropSockets(): Promise<void> {
    if (this.#veth === undefined) return;
    await run(['nsenter', `--net=${this.netnsPath}`, 'ss', '--kill', '--no-header', '--tcp', '--all'], {timeoutMs: dropTimeoutMs});
  }

  refuse(): void {
    if (this.#state !== 'asleep') return;
    Atomics.store(this.#shared.counts, this.#countAt('wanted'), 0);
    this.#shared.thread.send({kind: 'refuse', address: this.#destination, epoch: ++this.#epoch});
  }

  /** Reports from before the last sleep, refusal or wake are stale. */
  wanted(epoch: number, trigger: Trigger): void {
    if (this.#state === 'asleep' && epoch === this.#epoch) this.#shared.onWanted(this.name, trigger);
  }

  async lastTraffic(): Promise<number> {
    return Promise.resolve(this.#shared.traffic.last(this.#destination) ?? this.#addedAtMs);
  }

  counters(): HoldCounts {
    return {
      held: this.#count('held'),
      refused: this.#count('refused'),
      overflowed: this.#count('overflowed'),
      expired: this.#count('expired'),
      answeredKeepalives: this.#count('answeredKeepalives'),
    };
  }

  #countAt(what: keyof typeof countSlot): number {
    return this.#index * countSlots + countSlot[what];
  }

  #count(what: keyof typeof countSlot): number {
    return Atomics.load(this.#shared.counts, this.#countAt(what));
  }

  /** The gateway removes all of its own at once. Resolves when nothing is being made any more. */
  async abandon(): Promise<void> {
    this.#state = 'removed';
    await this.#preparing?.catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'removed') return;
    this.#state = 'removed';
    this.#shared.thread.send({kind: 'remove', address: this.#destination});
    // One that is being made is removed by whoever makes it.
    await this.#preparing?.catch(() => undefined);
    await this.#veth?.[Symbol.asyncDispose]();
    this.#onRemoved();
  }
}

async function hostSettings(interfaceName: string): Promise<void> {
  // Loose: while the app sleeps, the way to its address is another than the way its last packets come.
  await setSysctl(`conf/${interfaceName}/rp_filter`, '2');
  // Answers to clients on 127.0.0.1 carry that address for a moment.
  await setSysctl(`conf/${interfaceName}/route_localnet`, '1');
}

interface VethOf {
  readonly shared: NatShared;
  readonly index: number;
  readonly address: string;
}

/**
 * Makes the namespace and the veth of an app, without a route; on any failure nothing is left behind.
 * @throws CodedError ERR_SYSCTL_FAILED; CommandError
 */
async function addVeth(of: VethOf): Promise<Veth> {
  const {link, elements} = namesOf(of);
  const {interfaceName, namespace} = link;
  await using scope = new AsyncDisposableStack();
  scope.defer(() => removeLinks({interfaces: [interfaceName], namespaces: [namespace]}));
  await applyIp(hostCommands(link));
  scope.defer(() => applyNft(removeAppText(elements)));
  disableIpv6(interfaceName);
  withinNetns(namespacePath(namespace), () => disableIpv6('eth0'));
  await Promise.all([applyNft(addAppText(elements)), applyIp(appCommands(link), {namespace}), hostSettings(interfaceName)]);
  return made(of, scope);
}

/** The table is another one than it was. On any failure nothing is left. @throws SystemCallError when there is none; CommandError */
async function takeOverVeth(of: VethOf): Promise<Veth> {
  const {link, elements} = namesOf(of);
  await using scope = new AsyncDisposableStack();
  scope.defer(() => removeLinks({interfaces: [link.interfaceName], namespaces: [link.namespace]}));
  scope.defer(() => applyNft(removeAppText(elements)));
  await applyNft(addAppText(elements));
  return made(of, scope);
}

function namesOf({shared: {identity, range}, index, address}: VethOf): {readonly link: AppLink; readonly elements: AppElements} {
  const interfaceName = vethName(identity, index);
  const link = {namespace: namespaceName(identity, index), interfaceName, address, gateway: gatewayAddress(range), index};
  return {link, elements: {identity, interfaceName, address}};
}

/** @param scope what removes it. @throws SystemCallError when it is not there */
function made(of: VethOf, scope: AsyncDisposableStack): Veth {
  const {interfaceName, gateway} = namesOf(of).link;
  const route = {destination: ipv4ToNumber(of.address), interfaceIndex: interfaceIndex(interfaceName), source: ipv4ToNumber(gateway)};
  const owned = scope.move();
  return {route, [Symbol.asyncDispose]: () => owned.disposeAsync()};
}
