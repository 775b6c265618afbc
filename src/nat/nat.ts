/**
 * The gateway's network on this host. A route for the whole private range leads to a TUN, from which packets for sleeping
 * apps are held; an app that is awake has a route of its own to its veth, and the kernel alone carries its packets.
 */

import {CodedError, errorMessage} from '../core/errors.ts';
import type {AppName, GatewayIdentity} from '../core/ids.ts';
import {close} from '../core/libc.ts';
import type {Log} from '../core/log.ts';
import type {Trigger} from '../core/trigger.ts';
import {type AppNetwork, type AppSpec, type NatShared, VethNetwork} from './app-network.ts';
import {countSlots, type HoldLimits} from './hold-queue.ts';
import {startHoldThread} from './hold-thread.ts';
import {applyIp, applyNft, disableIpv6, enableForwarding, removeLeftovers, setSysctl} from './host-network.ts';
import {appIndex, gatewayAddress, ipv4ToNumber, type Range, rangeBounds} from './ipv4.ts';
import {tunCommands} from './links.ts';
import {tableName, tunName} from './names.ts';
import {openRouteSwitch, openSetReader} from './netlink-socket.ts';
import {frontendsText, isWildcard, type NatFrontend, tableText, trafficSet} from './nft-rules.ts';
import {bindKey, reservePort} from './port-reservation.ts';
import {TrafficClock} from './traffic-clock.ts';
import {openTun} from './tun.ts';

export interface NatOptions {
  readonly identity: GatewayIdentity;
  readonly range: Range;
  readonly log: Log;
  /** Asked at the end: namespaces, interfaces and the table stay for the next gateway. Default false. */
  readonly isLeft?: () => boolean;
  readonly limits?: Partial<Pick<HoldLimits, 'packetsPerApp' | 'bytesPerApp' | 'ageMs'>>;
  /** The first packet of a sleep that asks for a wake. Called again only after another `sleep()` or `refuse()`. */
  readonly onWanted: (app: AppName, trigger: Trigger) => void;
}

/** Disposing removes everything, also what `addApp` made. */
export interface Nat extends AsyncDisposable {
  readonly gatewayAddress: string;
  /** The index that gives an app this address; undefined for one that no app can have here. */
  indexOf(address: string): number | undefined;
  /** Holds the app's packets from now on. @throws CodedError ERR_DUPLICATE_APP, ERR_RANGE_FULL */
  addApp(app: AppSpec): AppNetwork;
  /** Replaces all mode nat frontends, in one step or not at all. @throws CodedError ERR_BIND_FAILED, ERR_BAD_ADDRESS, ERR_BAD_TARGET; CommandError */
  setFrontends(frontends: readonly NatFrontend[]): Promise<void>;
}

const defaultLimits = {packetsPerApp: 1024, bytesPerApp: 4 << 20, ageMs: 60_000} as const;
/** All apps together may hold as much as this many full ones. */
const fullApps = 16;

function isLoopback(address: string): boolean {
  return ipv4ToNumber(address) >>> 24 === 127;
}

function checkFrontend({protocol, host, port, targetHost}: NatFrontend, isOurs: (address: string) => boolean): void {
  const bind = `${protocol} ${host}:${port}`;
  if (isLoopback(targetHost)) {
    throw new CodedError('ERR_BAD_TARGET', `Cannot forward ${bind} to ${targetHost} in mode nat: the kernel does not route to loopback; use mode ${protocol}`, {
      source: 'client',
    });
  }
  if (isWildcard(host)) return;
  if (host.includes(':')) throw new CodedError('ERR_BAD_ADDRESS', `Cannot bind ${bind} in mode nat: only IPv4 is implemented`, {source: 'client'});
  if (isLoopback(host) && !isOurs(targetHost)) {
    throw new CodedError(
      'ERR_BAD_TARGET',
      `Cannot forward ${bind} to ${targetHost} in mode nat: from loopback the kernel routes only to apps; use mode ${protocol}`,
      {
        source: 'client',
      },
    );
  }
}

class KernelNat implements Nat {
  readonly gatewayAddress: string;
  readonly #shared: NatShared;
  readonly #scope: AsyncDisposableStack;
  readonly #apps: Map<number, VethNetwork>;
  readonly #indexes = new Set<number>();
  #reservations = new Map<string, AsyncDisposable>();
  #change: Promise<void> = Promise.resolve();

  constructor(shared: NatShared, apps: Map<number, VethNetwork>, scope: AsyncDisposableStack) {
    this.gatewayAddress = gatewayAddress(shared.range);
    this.#shared = shared;
    this.#apps = apps;
    this.#scope = scope;
  }

  indexOf(address: string): number | undefined {
    return appIndex(this.#shared.range, address);
  }

  addApp(spec: AppSpec): AppNetwork {
    if (this.#indexes.has(spec.index)) {
      throw new CodedError('ERR_DUPLICATE_APP', `Cannot add app "${spec.name}": number ${spec.index} is taken`, {source: 'bug'});
    }
    const app = new VethNetwork(spec, this.#shared, () => {
      this.#indexes.delete(spec.index);
      this.#apps.delete(address);
    });
    const address = ipv4ToNumber(app.address);
    this.#indexes.add(spec.index);
    this.#apps.set(address, app);
    return app;
  }

  setFrontends(frontends: readonly NatFrontend[]): Promise<void> {
    const change = this.#change.then(() => this.#replaceFrontends(frontends));
    // Whoever asked hears of a failure; the next change starts from what was in force before.
    this.#change = change.catch(() => undefined);
    return change;
  }

  async #replaceFrontends(frontends: readonly NatFrontend[]): Promise<void> {
    const {first, last} = rangeBounds(this.#shared.range);
    const isOurs = (address: string): boolean => ipv4ToNumber(address) >= first && ipv4ToNumber(address) <= last;
    for (const frontend of frontends) checkFrontend(frontend, isOurs);
    const wanted = new Map(frontends.map((frontend) => [bindKey(frontend), frontend]));
    await using added = new AsyncDisposableStack();
    const next = new Map<string, AsyncDisposable>();
    for (const [key, frontend] of wanted) next.set(key, this.#reservations.get(key) ?? added.use(await reservePort(frontend)));
    await applyNft(frontendsText(this.#shared.identity, [...wanted.values()], isOurs));
    added.move();
    const dropped = [...this.#reservations].filter(([key]) => !next.has(key));
    this.#reservations = next;
    for (const [, reservation] of dropped) await reservation[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#change;
    const reservations = [...this.#reservations.values()];
    this.#reservations = new Map();
    for (const reservation of reservations) await reservation[Symbol.asyncDispose]();
    await Promise.all([...this.#apps.values()].map((app) => app.abandon()));
    await this.#scope.disposeAsync();
  }
}

async function configureTun(interfaceName: string, range: Range): Promise<void> {
  const network = `${range.address}/${range.prefixLength}`;
  disableIpv6(interfaceName);
  await applyIp(tunCommands({interfaceName, gateway: gatewayAddress(range), network}));
  // Packets of this host's own sockets come back through the TUN, with source addresses whose way is another interface.
  await setSysctl(`conf/${interfaceName}/rp_filter`, '2');
  await setSysctl(`conf/${interfaceName}/accept_local`, '1');
  await setSysctl(`conf/${interfaceName}/route_localnet`, '1');
}

/**
 * Sets the host up; needs root (CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN). Switches net.ipv4.ip_forward on and leaves it on.
 * Leftovers of a crashed gateway of the same identity must have been removed. On any failure nothing is left behind.
 * @throws CodedError ERR_BAD_RANGE, ERR_NO_TUN, ERR_SYSCTL_FAILED; CommandError
 */
export async function openNat(options: NatOptions): Promise<Nat> {
  const {identity, range, log} = options;
  const {first, last} = rangeBounds(range);
  await using scope = new AsyncDisposableStack();
  const tun = openTun(tunName(identity));
  scope.defer(() => close(tun));
  scope.defer(async () => {
    if (options.isLeft?.() !== true) await removeLeftovers(identity).catch((error: unknown) => log.warn(errorMessage(error)));
  });
  if (await enableForwarding()) log.info('net.ipv4.ip_forward was off and is now on; it stays on');
  await Promise.all([configureTun(tunName(identity), range), applyNft(tableText({identity, range}))]);
  const routes = scope.use(openRouteSwitch());
  const reader = scope.use(openSetReader({table: tableName(identity), set: trafficSet.name}));
  const {packetsPerApp, bytesPerApp, ageMs} = {...defaultLimits, ...options.limits};
  const limits = {packetsPerApp, bytesPerApp, ageMs, packets: packetsPerApp * fullApps, bytes: bytesPerApp * fullApps};
  // One for all: the kernel gives memory to those parts only that are used.
  const counts = new Int32Array(new SharedArrayBuffer((last - first) * countSlots * 4));
  const apps = new Map<number, VethNetwork>();
  const onWanted = (address: number, epoch: number, trigger: Trigger): void => apps.get(address)?.wanted(epoch, trigger);
  const thread = scope.use(await startHoldThread({tun, limits, counts, log, onWanted}));
  const shared = {identity, range, thread, counts, routes, traffic: new TrafficClock(reader, trafficSet.timeoutMs), onWanted: options.onWanted};
  return new KernelNat(shared, apps, scope.move());
}

export {firstFreeRange} from './free-range.ts';
export {removeLeftovers} from './host-network.ts';
