/** The records of apps: `NAME` has addresses, its ports (SRV) and a text; `_NAME._tcp` and `_NAME._udp` are its ports as RFC 2782 names them. */
import type {DnsZone} from '../../config/proxy-value.ts';
import type {Expose} from '../../config/value.ts';
import type {AppName} from '../../core/ids.ts';
import {type NameKey, nameKey, parentOf} from './name.ts';
import {recordType} from './protocol.ts';
import {addressBody, recordBody, srvData, textData} from './record-data.ts';

/** What the zone needs of an app. The same object as long as the app is the same. */
export interface DnsApp {
  readonly name: AppName;
  readonly expose: readonly Expose[];
}

type Records = ReadonlyMap<number, readonly Buffer[]>;

export interface AppRecordsOptions {
  readonly config: DnsZone;
  readonly apex: NameKey;
  /** @param name in the zone, at any depth */
  readonly appAt: (name: NameKey) => DnsApp | null;
  /** `ns` below the zone is this gateway. */
  readonly isNameserver: boolean;
}

/** Addresses at which questions come in; a host has few. */
const maxKeptAddresses = 256;
const none: Records = new Map();

/** Records at a name that the zone does not write itself, or null; `app` is what a question for the name wakes. */
export function appRecords({
  config,
  apex,
  appAt,
  isNameserver,
}: AppRecordsOptions): (name: NameKey, arrivedAt: string) => {readonly node: Records; readonly app: DnsApp | null} | null {
  const protocols: ReadonlyMap<NameKey, Expose['protocol']> = new Map([
    [nameKey(`_tcp.${config.name}`), 'tcp'],
    [nameKey(`_udp.${config.name}`), 'udp'],
  ]);
  const nameserver = isNameserver ? nameKey(`ns.${config.name}`) : null;
  const addresses = addressRecords(config);
  const nodes = new WeakMap<DnsApp, WeakMap<Records, Records>>();

  const nodeOf = (app: DnsApp, name: NameKey, arrivedAt: string): Records => {
    const ofAddress = addresses(arrivedAt);
    const known = nodes.get(app) ?? new WeakMap<Records, Records>();
    nodes.set(app, known);
    const node = known.get(ofAddress) ?? new Map([...ofAddress, ...descriptionOf(app, name, config.ttlSeconds)]);
    known.set(ofAddress, node);
    return node;
  };

  const serviceAt = (name: NameKey): {readonly node: Records; readonly app: DnsApp | null} | null => {
    if (protocols.has(name)) return {node: none, app: null};
    const protocol = protocols.get(parentOf(name));
    if (protocol === undefined) return null;
    const owner = `${String.fromCharCode(name.charCodeAt(0) - 1)}${name.slice(2, 1 + name.charCodeAt(0))}${apex}` as NameKey;
    const app = appAt(owner);
    const ports = app === null ? [] : app.expose.filter((exposed) => exposed.protocol === protocol);
    return ports.length === 0 ? null : {node: new Map([[recordType.SRV, portRecords(ports, owner, config.ttlSeconds)]]), app};
  };

  return (name, arrivedAt) => {
    const app = appAt(name);
    if (app !== null) return {node: nodeOf(app, name, arrivedAt), app};
    if (name === nameserver) return {node: addresses(arrivedAt), app: null};
    return name.charCodeAt(1) === underscore ? serviceAt(name) : null;
  };
}

const underscore = 0x5f;

/** Those that the zone has, else the one at which the question came in. */
function addressRecords({addresses, ttlSeconds}: DnsZone): (arrivedAt: string) => Records {
  const recordsOf = (list: readonly string[]): Records => {
    const v4 = list.filter((address) => !address.includes(':')).map((address) => addressBody(address, ttlSeconds));
    const v6 = list.filter((address) => address.includes(':')).map((address) => addressBody(address, ttlSeconds));
    return new Map([...(v4.length > 0 ? [[recordType.A, v4] as const] : []), ...(v6.length > 0 ? [[recordType.AAAA, v6] as const] : [])]);
  };
  if (addresses.length > 0) {
    const records = recordsOf(addresses);
    return () => records;
  }
  const kept = new Map<string, Records>();
  return (arrivedAt) => {
    const known = kept.get(arrivedAt);
    if (known !== undefined) return known;
    if (kept.size >= maxKeptAddresses) kept.clear();
    const records = recordsOf([arrivedAt]);
    kept.set(arrivedAt, records);
    return records;
  };
}

function descriptionOf(app: DnsApp, owner: NameKey, ttlSeconds: number): [number, readonly Buffer[]][] {
  const text: [number, readonly Buffer[]] = [recordType.TXT, [recordBody(recordType.TXT, ttlSeconds, textData([`app=${app.name}`]))]];
  return app.expose.length === 0 ? [text] : [text, [recordType.SRV, portRecords(app.expose, owner, ttlSeconds)]];
}

function portRecords(ports: readonly Expose[], owner: NameKey, ttlSeconds: number): readonly Buffer[] {
  const target = Buffer.from(owner, 'latin1');
  return ports.map(({port}) => recordBody(recordType.SRV, ttlSeconds, srvData({priority: 0, weight: 0, port, target})));
}
