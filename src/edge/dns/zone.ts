/**
 * A zone as it is looked up: what the configuration writes, and the apps. RFC 1034, 4.3.2 (search), RFC 4592 (wildcards), RFC 2308 (negative
 * answers), RFC 8482 (ANY).
 */
import type {DnsRecord, DnsZone} from '../../config/proxy-value.ts';
import {CodedError} from '../../core/errors.ts';
import type {Answer, RecordSet} from './answer.ts';
import {appRecords, type DnsApp} from './app-records.ts';
import {encodeName, isAtOrBelow, type NameKey, nameKey, parentOf, readPlainName, showName, wildcardBelow} from './name.ts';
import {rcode, recordType} from './protocol.ts';
import {absoluteName, parseRecordData, recordBody, textData} from './record-data.ts';

export interface ZoneQuestion {
  readonly name: NameKey;
  readonly type: number;
  /** The address at which the question came in. */
  readonly arrivedAt: string;
}

export interface ZoneAnswer extends Answer {
  /** The app whose name was asked for. */
  readonly app: DnsApp | null;
  /** What answers of the same kind have in common: the name, the wildcard, or for names that do not exist the zone. */
  readonly source: NameKey;
}

export interface Zone {
  readonly apex: NameKey;
  /** @param question about a name at or below the apex */
  answer(question: ZoneQuestion): ZoneAnswer;
}

/** By type; none at all for a name that only has names below it. */
type Node = ReadonlyMap<number, readonly Buffer[]>;

export interface ZoneOptions {
  readonly config: DnsZone;
  /** @param name in lower case */
  readonly findApp: (name: string) => DnsApp | null;
  /** A number that grows from one configuration to the next. */
  readonly serial: number;
}

const maxAliases = 8;
const emptyNode: Node = new Map();

/** @throws CodedError ERR_BAD_DNS_RECORD, ERR_BAD_DNS_NAME */
export function compileZone(options: ZoneOptions): Zone {
  const {config} = options;
  const apex = nameKey(config.name);
  const nodes = compileNodes(config, apex, options.serial);
  const negativeSoa: RecordSet = {owner: apex, bodies: [recordBody(recordType.SOA, config.negativeTtlSeconds, soaData(config, options.serial))]};

  const negative = (code: typeof rcode.noError | typeof rcode.nxDomain, answers: readonly RecordSet[], app: DnsApp | null, source: NameKey): ZoneAnswer => ({
    rcode: code,
    authoritative: true,
    answers,
    authority: [negativeSoa],
    additional: [],
    app,
    source,
  });
  const search = zoneSearch(options, apex, nodes);

  return {
    apex,
    answer({name, type, arrivedAt}) {
      const answers: RecordSet[] = [];
      let app: DnsApp | null = null;
      let at = name;
      let source = name;
      for (let alias = 0; alias <= maxAliases; alias++) {
        const cut = search.delegation(at);
        if (cut !== null) return {rcode: rcode.noError, authoritative: answers.length > 0, answers, ...cut, app, source};
        const found = search.node(at, arrivedAt);
        if (found === null) return negative(rcode.nxDomain, answers, app, answers.length === 0 ? apex : source);
        ({app} = found);
        if (alias === 0) source = found.source;
        const bodies = type === recordType.ANY ? anyBodies(found.node, config.ttlSeconds) : found.node.get(type);
        if (bodies !== undefined) {
          answers.push({owner: at, bodies});
          return {rcode: rcode.noError, authoritative: true, answers, authority: [], additional: [], app, source};
        }
        const cname = found.node.get(recordType.CNAME);
        if (cname === undefined) return negative(rcode.noError, answers, app, source);
        answers.push({owner: at, bodies: cname});
        const target = readPlainName(cname[0] ?? emptyBody, 10)?.key;
        if (target === undefined || !isAtOrBelow(target, apex)) break;
        at = target;
      }
      return {rcode: rcode.noError, authoritative: true, answers, authority: [], additional: [], app, source};
    },
  };
}

const emptyBody = Buffer.alloc(0);

interface ZoneSearch {
  /** What is at a name: written, of an app, or of a wildcard; null when the name does not exist. */
  node(name: NameKey, arrivedAt: string): {readonly node: Node; readonly app: DnsApp | null; readonly source: NameKey} | null;
  /** Of a name that other servers are responsible for: which, and their addresses as far as they are written here. */
  delegation(name: NameKey): Pick<Answer, 'authority' | 'additional'> | null;
}

function zoneSearch(options: ZoneOptions, apex: NameKey, nodes: ReadonlyMap<NameKey, Node>): ZoneSearch {
  const appAt = (name: NameKey): DnsApp | null =>
    name.length > apex.length ? options.findApp(showName(`${name.slice(0, name.length - apex.length)}\0` as NameKey)) : null;
  const records = appRecords({config: options.config, apex, appAt, isNameserver: nameserverOf(options.config) === undefined});
  const hasDelegations = [...nodes].some(([name, node]) => name !== apex && node.has(recordType.NS));

  const wildcardFor = (name: NameKey): {readonly node: Node; readonly app: null; readonly source: NameKey} | null => {
    let encloser = parentOf(name);
    while (encloser !== apex && !nodes.has(encloser) && appAt(encloser) === null) encloser = parentOf(encloser);
    const source = wildcardBelow(encloser);
    const node = source === null ? undefined : nodes.get(source);
    return source === null || node === undefined ? null : {node, app: null, source};
  };

  return {
    node(name, arrivedAt) {
      const written = nodes.get(name);
      if (name === apex) return {node: written ?? emptyNode, app: null, source: name};
      const ofApp = written?.has(recordType.CNAME) === true ? null : records(name, arrivedAt);
      if (ofApp !== null) return {node: written === undefined ? ofApp.node : new Map([...ofApp.node, ...written]), app: ofApp.app, source: name};
      return written === undefined ? wildcardFor(name) : {node: written, app: null, source: name};
    },
    delegation(name) {
      if (!hasDelegations) return null;
      for (let at = name; at !== apex; at = parentOf(at)) {
        const servers = nodes.get(at)?.get(recordType.NS);
        if (servers !== undefined) return {authority: [{owner: at, bodies: servers}], additional: glueOf(servers, nodes)};
      }
      return null;
    },
  };
}

function glueOf(servers: readonly Buffer[], nodes: ReadonlyMap<NameKey, Node>): RecordSet[] {
  return servers.flatMap((server) => {
    const owner = readPlainName(server, 10)?.key;
    const node = owner === undefined ? undefined : nodes.get(owner);
    if (owner === undefined || node === undefined) return [];
    return [recordType.A, recordType.AAAA].flatMap((type) => {
      const bodies = node.get(type);
      return bodies === undefined ? [] : [{owner, bodies}];
    });
  });
}

/** ANY is answered with as little as possible. */
function anyBodies(node: Node, ttlSeconds: number): readonly Buffer[] | undefined {
  return node.size === 0 ? undefined : [recordBody(13, ttlSeconds, textData(['RFC8482', '']))];
}

function soaData(config: DnsZone, serial: number): Buffer {
  const numbers = Buffer.alloc(20);
  for (const [index, value] of [serial >>> 0, 3600, 600, 86_400, config.negativeTtlSeconds].entries()) numbers.writeUInt32BE(value, index * 4);
  const server = nameserverOf(config);
  const primary = encodeName(server === undefined ? `ns.${config.name}` : absoluteName(server.data.trim(), config.name));
  return Buffer.concat([primary, encodeName(`hostmaster.${config.name}`), numbers]);
}

/** The first name server that the zone itself has; without one it is `ns` below the zone, at the address of this gateway. */
function nameserverOf(config: DnsZone): DnsRecord | undefined {
  return config.records.find(({name, type}) => type === 'NS' && nameKey(absoluteName(name, config.name)) === nameKey(config.name));
}

function compileNodes(config: DnsZone, apex: NameKey, serial: number): ReadonlyMap<NameKey, Node> {
  const nodes = new Map<NameKey, Map<number, Buffer[]>>();
  const add = (name: NameKey, type: number, body: Buffer): void => {
    const node = nodes.get(name) ?? new Map<number, Buffer[]>();
    nodes.set(name, node);
    node.set(type, [...(node.get(type) ?? []), body]);
  };
  for (const record of config.records) {
    const name = nameKey(absoluteName(record.name, config.name));
    checkPlace(record, name, apex, nodes.get(name));
    const type = recordType[record.type];
    add(name, type, recordBody(type, record.ttlSeconds ?? config.ttlSeconds, parseRecordData(record, config.name)));
  }
  add(apex, recordType.SOA, recordBody(recordType.SOA, config.ttlSeconds, soaData(config, serial)));
  if (nameserverOf(config) === undefined) add(apex, recordType.NS, recordBody(recordType.NS, config.ttlSeconds, encodeName(`ns.${config.name}`)));
  // A name exists as soon as there is one below it.
  for (const name of [...nodes.keys()]) {
    for (let at = name; at !== apex; at = parentOf(at)) if (!nodes.has(at)) nodes.set(at, new Map());
  }
  return nodes;
}

/** RFC 1034, 3.6.2: an alias is alone at its name, and the apex has an SOA already. */
function checkPlace(record: DnsRecord, name: NameKey, apex: NameKey, node: Node | undefined): void {
  const refuse = (found: string): CodedError =>
    new CodedError('ERR_BAD_DNS_RECORD', `Cannot use DNS record "${record.name} ${record.type} ${record.data}": ${found}`, {source: 'client'});
  if (!isAtOrBelow(name, apex)) throw refuse(`the name is not in the zone ${showName(apex)}`);
  if (record.type === 'CNAME' && name === apex) throw refuse('the name of the zone cannot be an alias');
  if (node !== undefined && (record.type === 'CNAME' || node.has(recordType.CNAME))) throw refuse('an alias cannot have other records');
}
