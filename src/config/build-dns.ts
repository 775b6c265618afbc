/** What a frontend in mode dns answers. */
import type {Diagnostic} from './diagnostic.ts';
import {describePosition, type Position} from './position.ts';
import type {DnsConfig, DnsRecord, DnsZone} from './proxy-value.ts';
import {all, own, type Section} from './section.ts';

export function buildDns(section: Section, report: (diagnostic: Diagnostic) => void): DnsConfig {
  const alert = (position: Position, word: string, message: string): void => report({level: 'alert', position, word, message});
  const zones = all(section, 'zone').map(({value}) => value);
  const seen = new Map<string, Position>();
  for (const {name, position} of zones) {
    const earlier = seen.get(name);
    if (earlier === undefined) seen.set(name, position);
    else alert(position, name, `zone '${name}' is already given at ${describePosition(earlier)}`);
  }
  const records = new Map<string, DnsRecord[]>(zones.map(({name}) => [name, []]));
  for (const {value} of all(section, 'record')) {
    const {position, ...record} = value;
    const zone = zoneOf(record.name, records.keys());
    const taken = records.get(zone ?? '');
    if (zone === undefined || taken === undefined) {
      alert(position, record.name, `record '${record.name}' is in no zone of this frontend`);
      continue;
    }
    const placed = {...record, name: `${record.name}.`};
    const problem = misplaced(placed, zone, taken);
    if (problem === null) taken.push(placed);
    else alert(position, record.name, `record '${record.name}' ${problem}`);
  }
  const addresses = all(section, 'answer-with').flatMap(({value}) => value);
  const forwardTo = all(section, 'forward').flatMap(({value}) => value);
  if (zones.length === 0 && forwardTo.length === 0 && !section.failed.has('zone') && !section.failed.has('forward')) {
    alert(section.position, section.name, `${section.kind} '${section.name}' in mode dns has no 'zone' and no 'forward'`);
  }
  return {
    zones: zones.map(
      ({name, ttlSeconds, negativeTtlSeconds}): DnsZone => ({name, ttlSeconds, negativeTtlSeconds, addresses, records: records.get(name) ?? []}),
    ),
    forwardTo,
    responsesPerSecond: own(section, 'response-rate')?.value ?? null,
  };
}

/** RFC 1034, 3.6.2: an alias is alone at its name, and that of a zone has records already. */
function misplaced({name, type}: DnsRecord, zone: string, others: readonly DnsRecord[]): string | null {
  if (type === 'CNAME' && name === `${zone}.`) return 'is the name of the zone, which cannot be an alias';
  const there = others.filter((other) => other.name === name);
  const conflict = type === 'CNAME' ? there.length > 0 : there.some((other) => other.type === 'CNAME');
  return conflict ? 'is an alias (CNAME), which cannot have other records' : null;
}

/** The zone with the longest name that a name belongs to. */
function zoneOf(name: string, zones: Iterable<string>): string | undefined {
  return [...zones].filter((zone) => name === zone || name.endsWith(`.${zone}`)).sort((a, b) => b.length - a.length)[0];
}
