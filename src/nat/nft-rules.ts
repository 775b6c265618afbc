/**
 * The nftables text of one gateway: one table, applied whole; later changes touch only the elements of its sets and maps,
 * so their number does not slow packets down.
 */
import type {GatewayIdentity} from '../core/ids.ts';
import {gatewayAddress, type Range} from './ipv4.ts';
import {interfacePrefix, tableName, tunName, unnoticedAddress} from './names.ts';

/** The set of addresses with real traffic, and how long an address stays in it after its last packet. */
export const trafficSet = {name: 'traffic', timeoutMs: 30 * 24 * 3_600_000} as const;

/** A frontend in mode nat: where packets are caught, and where they go instead. `host` '' or 0.0.0.0: any address of this host. */
export interface NatFrontend {
  readonly protocol: 'tcp' | 'udp';
  readonly host: string;
  readonly port: number;
  readonly targetHost: string;
  readonly targetPort: number;
  /** Its connections are no traffic of the app, and end where the way leads to the hold queue. Only with an address as `host`. */
  readonly isUnnoticed?: boolean;
}

/** Of connections to an unnoticed frontend, on their way and back. The 128 labels of a connection are shared with whoever else uses connection tracking. */
const unnoticedLabel = 71;

/**
 * Notes for each address of ours when a packet last said something: bare ACKs and keepalive probes do not. nft cannot
 * subtract header lengths; a segment without PSH that carries data is a long one, or followed by one with PSH, and no bare ACK
 * is longer than 80 bytes. What conntrack finds invalid is dropped on its way out: it would not be translated, and a
 * client would answer a packet from a private address with a RST. Nothing is noted of connections from `unnoticedAddress`, nor of those to an unnoticed
 * frontend, and they end where the way leads to the hold queue; a packet of this host that was translated gets its way after `local_out`. When this
 * program was killed, its routes are gone and the table is not: nothing for an app leaves the host then.
 */
function trafficChains({network, tun, ours}: {readonly network: string; readonly tun: string; readonly ours: string}): string {
  const lost = `ip daddr ${network} oifname != "lo" oifname != "${ours}*" reject with icmp host-unreachable`;
  const ignored = `
    meta l4proto tcp tcp flags & (fin|syn|rst|psh) == 0 ip length <= 80 return
    meta l4proto icmp icmp type != {echo-request, echo-reply} return`;
  return `
  chain note_inward {${ignored}
    update @${trafficSet.name} {ip daddr}
    ip saddr ${network} update @${trafficSet.name} {ip saddr}
  }
  chain note_outward {${ignored}
    update @${trafficSet.name} {ip saddr}
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    ${lost}
    ct label ${unnoticedLabel} return
    ip daddr ${network} goto note_inward
    ip saddr ${network} ct state invalid drop
    ip saddr ${network} goto note_outward
  }
  chain local_in {
    type filter hook input priority filter; policy accept;
    ip daddr ${unnoticedAddress} return
    ct label ${unnoticedLabel} return
    ip saddr ${network} goto note_outward
  }
  chain local_out {
    type filter hook output priority filter; policy accept;
    ${lost}
    ip saddr ${unnoticedAddress} oifname "${tun}" drop
    ip saddr ${unnoticedAddress} return
    ct label ${unnoticedLabel} return
    ip daddr ${network} goto note_inward
    ip saddr ${network} ct state invalid drop
  }
  chain leaving {
    type filter hook postrouting priority filter; policy accept;
    oifname "${tun}" ct label ${unnoticedLabel} drop
  }`;
}

/** Everything but the elements; replaces a table that is already there. */
export function tableText(options: {identity: GatewayIdentity; range: Range}): string {
  const {identity, range} = options;
  const table = tableName(identity);
  const ours = interfacePrefix(identity);
  const network = `${range.address}/${range.prefixLength}`;
  const gateway = gatewayAddress(range);
  return `add table ip ${table}
delete table ip ${table}
table ip ${table} {
  set origins { type ifname . ipv4_addr; }
  set hairpins { type ipv4_addr . ipv4_addr; }
  set elsewhere { type inet_proto . ipv4_addr . inet_service; }
  set unnoticed_binds { type inet_proto . ipv4_addr . inet_service; }
  set ${trafficSet.name} { type ipv4_addr; size 65536; flags dynamic,timeout; timeout ${trafficSet.timeoutMs / 1000}s; }
  map binds { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; }
  map wildcard_binds { type inet_proto . inet_service : ipv4_addr . inet_service; }
  chain raw_prerouting {
    type filter hook prerouting priority raw; policy accept;
    iifname "${ours}*" ip daddr 127.0.0.0/8 drop
    iifname "${tunName(identity)}" notrack accept
    iifname "${ours}v*" iifname . ip saddr != @origins drop
  }
  chain frontends {
    meta l4proto . ip daddr . th dport @unnoticed_binds ct label set ${unnoticedLabel}
    meta l4proto {tcp, udp} dnat ip to meta l4proto . ip daddr . th dport map @binds
    meta l4proto {tcp, udp} fib daddr type local dnat ip to meta l4proto . th dport map @wildcard_binds
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    jump frontends
  }
  chain output {
    type nat hook output priority -100; policy accept;
    jump frontends
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 127.0.0.0/8 ip daddr ${network} snat to ${gateway}
    ip saddr . ip daddr @hairpins snat to ${gateway}
    ct status dnat meta l4proto . ip daddr . th dport @elsewhere masquerade
    ip saddr ${network} ip daddr != ${network} masquerade
  }${trafficChains({network, tun: tunName(identity), ours})}
}
`;
}

export interface AppElements {
  readonly identity: GatewayIdentity;
  readonly interfaceName: string;
  readonly address: string;
}

/** The packets that an app may send, and its way back to itself through a frontend. */
export function addAppText({identity, interfaceName, address}: AppElements): string {
  const table = tableName(identity);
  return `add element ip ${table} origins {"${interfaceName}" . ${address}}
add element ip ${table} hairpins {${address} . ${address}}
`;
}

export function removeAppText({identity, interfaceName, address}: AppElements): string {
  const table = tableName(identity);
  const elements = [`origins {"${interfaceName}" . ${address}}`, `hairpins {${address} . ${address}}`, `${trafficSet.name} {${address}}`];
  // Added first, since deleting what is not there would fail the whole change.
  return elements.map((element) => `add element ip ${table} ${element}\ndelete element ip ${table} ${element}\n`).join('');
}

export function isWildcard(host: string): boolean {
  return host === '' || host === '0.0.0.0' || host === '*';
}

function elementsText(table: string, kind: 'map' | 'set', name: string, elements: ReadonlySet<string>): string {
  const added = elements.size === 0 ? '' : `add element ip ${table} ${name} {${[...elements].join(', ')}}\n`;
  return `flush ${kind} ip ${table} ${name}\n${added}`;
}

/** Replaces all frontends. @param isOurs whether a target is an app, which sends its answers our way by itself */
export function frontendsText(identity: GatewayIdentity, frontends: readonly NatFrontend[], isOurs: (address: string) => boolean): string {
  const table = tableName(identity);
  const binds = new Set<string>();
  const wildcardBinds = new Set<string>();
  const elsewhere = new Set<string>();
  const unnoticed = new Set<string>();
  for (const {protocol, host, port, targetHost, targetPort, isUnnoticed} of frontends) {
    const target = `${targetHost} . ${targetPort}`;
    if (isWildcard(host)) wildcardBinds.add(`${protocol} . ${port} : ${target}`);
    else binds.add(`${protocol} . ${host} . ${port} : ${target}`);
    if (!isOurs(targetHost)) elsewhere.add(`${protocol} . ${target}`);
    if (isUnnoticed === true) unnoticed.add(`${protocol} . ${host} . ${port}`);
  }
  return [
    elementsText(table, 'map', 'binds', binds),
    elementsText(table, 'map', 'wildcard_binds', wildcardBinds),
    elementsText(table, 'set', 'elsewhere', elsewhere),
    elementsText(table, 'set', 'unnoticed_binds', unnoticed),
  ].join('');
}

/** Removes the table, whether it is there or not. */
export function removeTableText(identity: GatewayIdentity): string {
  return `add table ip ${tableName(identity)}\ndelete table ip ${tableName(identity)}\n`;
}
