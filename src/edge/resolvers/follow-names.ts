/** Servers with `resolvers` are where name servers say that they are. Those of a backend that have one name share its addresses out. */
import {isIP} from 'node:net';
import {isServiceName} from '../../config/address.ts';
import type {ResolversConfig} from '../../config/resolvers.ts';
import type {Clock} from '../../core/clock.ts';
import {errorMessage} from '../../core/errors.ts';
import type {Log} from '../../core/log.ts';
import type {AssignedServer} from '../pool/assignment.ts';
import type {ResolvedAddress} from './resolution.ts';
import {openResolvers, type Resolvers} from './resolvers.ts';

export interface FollowNamesOptions {
  readonly resolvers: readonly ResolversConfig[];
  /** Where servers were before. */
  readonly knownPlaces: ReadonlyMap<AssignedServer, {readonly host: string; readonly port: number}>;
  readonly clock: Clock;
  readonly log: Log;
}

interface Group {
  readonly name: string;
  readonly resolvers: string;
  readonly prefer: 'ipv4' | 'ipv6';
  readonly members: Member[];
}

interface Member {
  readonly server: AssignedServer;
  /** The port of the configuration. */
  readonly port: number;
  place: ResolvedAddress | null;
}

/**
 * Until a name is answered for the first time, `init-addr` says where its servers are: by default the system looks it up for each connection. Those of a
 * service have no address until then.
 * A section that cannot be used is logged, and its names stay with the system.
 * @returns what ends the questions
 */
export async function followNames(
  pools: Iterable<{readonly servers: readonly AssignedServer[]}>,
  {resolvers, knownPlaces, clock, log}: FollowNamesOptions,
): Promise<Disposable> {
  using scope = new DisposableStack();
  const opened = new Map<string, Resolvers>();
  for (const {servers} of pools) {
    for (const group of groupsOf(servers)) {
      const service = isServiceName(group.name);
      const by = `resolvers ${group.resolvers}`;
      for (const member of group.members) startAt(member, {known: knownPlaces.get(member.server), service, by});
      const config = resolvers.find(({name}) => name === group.resolvers);
      if (config === undefined) continue;
      try {
        const section = opened.get(config.name) ?? scope.use(await openResolvers({config, clock}));
        opened.set(config.name, section);
        scope.use(
          section.watch({
            name: group.name,
            kind: service ? 'service' : 'address',
            prefer: group.prefer,
            onAddresses: (addresses) => place(group, addresses, by),
          }),
        );
      } catch (error) {
        log.warn({resolvers: config.name, name: group.name, error: errorMessage(error)}, 'names are looked up by the system');
      }
    }
  }
  return scope.move();
}

/** Where a server is until its name is answered. */
function startAt(
  {server, port}: Member,
  {known, service, by}: {readonly known: {readonly host: string; readonly port: number} | undefined; readonly service: boolean; readonly by: string},
): void {
  const {initialAddress} = server.config;
  if (known !== undefined) server.setAddress(known.host, known.port);
  else if (typeof initialAddress === 'object') server.setResolved({host: initialAddress.host, port}, by);
  else if (service || initialAddress === 'none') server.setResolved(null, by);
}

function groupsOf(servers: readonly AssignedServer[]): Iterable<Group> {
  const groups = new Map<string, Group>();
  for (const server of servers) {
    const {target, resolvers, resolvePrefer} = server.config;
    if (resolvers === null || target.kind !== 'address' || isIP(target.host) !== 0) continue;
    // HAProxy's manual, `resolve-prefer`: IPv6 by default.
    const prefer = resolvePrefer ?? 'ipv6';
    const key = `${resolvers} ${prefer} ${target.host.toLowerCase()}`;
    const group = groups.get(key) ?? {name: target.host, resolvers, prefer, members: []};
    group.members.push({server, port: target.port, place: null});
    groups.set(key, group);
  }
  return groups.values();
}

/** Who has an address that is still there keeps it; the others take what is free, and are in maintenance when nothing is. */
function place({members}: Group, addresses: readonly ResolvedAddress[], by: string): void {
  const free = new Map(addresses.map((address) => [keyOf(address), address]));
  for (const member of members) {
    const key = member.place === null ? '' : keyOf(member.place);
    member.place = free.get(key) ?? null;
    free.delete(key);
  }
  const rest = free.values();
  for (const member of members) {
    member.place ??= rest.next().value ?? null;
    const {server, port} = member;
    server.setResolved(member.place === null ? null : {host: member.place.address, port: member.place.port ?? port}, by);
    if (member.place !== null && member.place.weight !== null && member.place.weight !== server.weight) server.setWeight(member.place.weight);
  }
}

function keyOf({address, port}: ResolvedAddress): string {
  return `${address} ${port ?? ''}`;
}
