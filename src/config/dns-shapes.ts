/** Lines of frontends in mode dns. */
import {isIP, isIPv4, isIPv6} from 'node:net';
import type {Arguments} from './arguments.ts';
import type {DnsConfig, DnsRecord, DnsZone} from './proxy-value.ts';
import {choice, type Placed, type Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';
import {parseInteger, parseTime} from './units.ts';

/** RFC 2181: of a TTL. */
const longestTtlSeconds = 2 ** 31 - 1;

/** A name in lower case without the dot at its end. @throws ConfigError */
function takeName(args: Arguments, what: string): Placed {
  const word = args.take(what);
  const name = word.text.toLowerCase().replace(/\.$/, '');
  const labels = name.split('.');
  const isName =
    name.length <= 253 && labels.every((label, index) => /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label) || (label === '*' && index === 0));
  if (!isName) throw args.invalid(word, 'this is not the name of a domain');
  return {text: name, position: word.position};
}

/** A number is seconds, as in zone files; with a unit it is a time. */
function takeTtl(args: Arguments): number {
  const word = args.take('<time>');
  if (/^\d+$/.test(word.text)) {
    const parsed = parseInteger(word.text, {min: 0, max: longestTtlSeconds});
    if (!parsed.ok) throw args.invalid(word, parsed.reason);
    return parsed.value;
  }
  const parsed = parseTime(word.text);
  if (!parsed.ok) throw args.invalid(word, parsed.reason);
  return Math.round(parsed.value / 1000);
}

export const zone: Shape<Pick<DnsZone, 'name' | 'ttlSeconds' | 'negativeTtlSeconds'> & {readonly position: Placed['position']}> = {
  usage: '<name> [ttl <seconds>] [negative-ttl <seconds>]',
  read(args) {
    const {text: name, position} = takeName(args, '<name>');
    let ttlSeconds = 60;
    let negativeTtlSeconds: number | null = null;
    while (!args.atEnd) {
      const option = args.take('<option>');
      if (option.text === 'ttl') ttlSeconds = takeTtl(args);
      else if (option.text === 'negative-ttl') negativeTtlSeconds = takeTtl(args);
      else throw args.invalid(option, `ttl and negative-ttl are possible${didYouMean(option.text, ['ttl', 'negative-ttl'])}`);
    }
    return {name, ttlSeconds, negativeTtlSeconds: negativeTtlSeconds ?? Math.min(ttlSeconds, 60), position};
  },
};

const recordTypes = ['A', 'AAAA', 'CNAME', 'MX', 'NS', 'SRV', 'TXT'] as const;

export const record: Shape<DnsRecord & {readonly position: Placed['position']}> = {
  usage: '<name> A | AAAA | CNAME | MX | NS | SRV | TXT <data>... [ttl <seconds>]',
  read(args) {
    const {text: name, position} = takeName(args, '<name>');
    const type = choice(recordTypes).read(args);
    const data = [args.take('<data>').text];
    let ttlSeconds: number | null = null;
    while (!args.atEnd) {
      if (args.peek()?.text === 'ttl' && type !== 'TXT') {
        args.take('ttl');
        ttlSeconds = takeTtl(args);
        break;
      }
      data.push(args.take('<data>').text);
    }
    // In a text `ttl` may be meant: only at the end, before a number, it is not.
    if (type === 'TXT' && data.length > 2 && data.at(-2) === 'ttl' && /^\d{1,9}$/.test(data.at(-1) ?? '')) ttlSeconds = Number(data.splice(-2)[1]);
    checkData(args, type, data, position);
    return {name, type, ttlSeconds, data: zoneFileData(type, data), position};
  },
};

/** In a configuration all names are whole ones, whether a dot ends them or not. */
function zoneFileData(type: DnsRecord['type'], data: readonly string[]): string {
  switch (type) {
    case 'A':
    case 'AAAA':
      return data.join(' ');
    case 'CNAME':
    case 'NS':
    case 'MX':
    case 'SRV':
      return data.join(' ').replace(/\.?$/, '.');
    case 'TXT':
      return data.map((text) => `"${text.replaceAll(/["\\]/g, '\\$&')}"`).join(' ');
    default:
      return type satisfies never;
  }
}

/** Of all texts of a record: what the answer of one can have. */
const mostTextBytes = 16_000;
const longestName = 253;
const domain = /^(?:\.|(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?)$/;

function checkData(args: Arguments, type: DnsRecord['type'], data: readonly string[], position: Placed['position']): void {
  const isNumber = (text: string | undefined): boolean => /^\d{1,5}$/.test(text ?? '') && Number(text) <= 65_535;
  const isDomain = (text = ''): boolean => domain.test(text) && text.length <= longestName && text.split('.').every((label) => label.length <= 63);
  const right: Readonly<Record<DnsRecord['type'], () => boolean>> = {
    A: () => data.length === 1 && isIPv4(data[0] ?? ''),
    AAAA: () => data.length === 1 && isIPv6(data[0] ?? ''),
    CNAME: () => data.length === 1 && isDomain(data[0]),
    NS: () => data.length === 1 && isDomain(data[0]),
    MX: () => data.length === 2 && isNumber(data[0]) && isDomain(data[1]),
    SRV: () => data.length === 4 && data.slice(0, 3).every(isNumber) && isDomain(data[3]),
    TXT: () => data.every((text) => Buffer.byteLength(text) <= 255) && Buffer.byteLength(data.join('')) <= mostTextBytes,
  };
  const expected: Readonly<Record<DnsRecord['type'], string>> = {
    A: 'an IPv4 address',
    AAAA: 'an IPv6 address',
    CNAME: 'a name',
    NS: 'a name',
    MX: 'a number and a name',
    SRV: 'three numbers and a name',
    TXT: 'texts of at most 255 bytes',
  };
  if (!right[type]()) throw args.invalid({text: data.join(' '), position}, `the data of ${type} are ${expected[type]}`);
}

export const forward: Shape<DnsConfig['forwardTo']> = {
  usage: '<address>[:<port>]...',
  read(args) {
    const words = [args.take('<address>'), ...args.takeRest()];
    return words.map((word) => {
      const [, bracketed, plain = '', port = '53'] = /^(?:\[(.*)\]|(.*?))(?::(\d{1,5}))?$/.exec(isIP(word.text) === 6 ? `[${word.text}]` : word.text) ?? [];
      const host = bracketed ?? plain;
      const number = Number(port);
      if (isIP(host) === 0 || number < 1 || number > 65_535) throw args.invalid(word, 'an address and perhaps a port is expected');
      return {host, port: number};
    });
  },
};

export const addresses: Shape<readonly string[]> = {
  usage: '<address>...',
  read(args) {
    const words = [args.take('<address>'), ...args.takeRest()];
    for (const word of words) if (isIP(word.text) === 0) throw args.invalid(word, 'an address is expected');
    return words.map(({text}) => text);
  },
};
