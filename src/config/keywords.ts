/**
 * The keyword table: what each section may hold, what follows a keyword, what it means. Parsing, checking, suggestions
 * and docs/configuration.md all follow from it. A keyword of HAProxy that is implemented moves from known-keywords.ts
 * into one of the tables that are put together here. A name of two words (`timeout connect`) is a keyword of its own.
 */
import type {Keyword, SectionKind, SectionSpec} from './keyword.ts';
import {appKeywords} from './keywords-app.ts';
import {globalKeywords} from './keywords-global.ts';
import {httpKeywords} from './keywords-http.ts';
import {optionKeywords} from './keywords-options.ts';
import {proxyKeywords} from './keywords-proxy.ts';
import {sectionKeywords} from './keywords-sections.ts';
import {serverKeywords} from './keywords-server.ts';

export const sections: readonly SectionSpec[] = [
  {kind: 'global', usage: 'global', named: 'no', from: false, description: 'The gateway itself. Several such sections count as one.'},
  {
    kind: 'defaults',
    usage: 'defaults [<name>] [from <defaults>]',
    named: 'optional',
    from: true,
    description: 'Values for the sections that follow, up to the next `defaults`; by name, for sections with `from`.',
  },
  {kind: 'app', usage: 'app <name> [from <defaults>]', named: 'yes', from: true, description: 'A server that can be put to sleep.'},
  {kind: 'frontend', usage: 'frontend <name> [from <defaults>]', named: 'yes', from: true, description: 'Where clients connect.'},
  {kind: 'backend', usage: 'backend <name> [from <defaults>]', named: 'yes', from: true, description: 'Servers that answer.'},
  {
    kind: 'listen',
    usage: 'listen <name> [from <defaults>]',
    named: 'yes',
    from: true,
    description: 'A frontend and a backend of one name in one section.',
  },
  {kind: 'userlist', usage: 'userlist <name>', named: 'yes', from: false, description: 'Users and passwords for `http_auth()`.'},
  {
    kind: 'resolvers',
    usage: 'resolvers <name>',
    named: 'yes',
    from: false,
    description:
      'Who is asked for the addresses of servers. Servers of a backend that have one name share its addresses out, or those of its SRV' +
      ' records (`_service._tcp.name`), with their ports and weights; one that gets none is in maintenance. Before the first answer `init-addr`' +
      ' counts: the system looks the name up at each connection (`libc`), an address, or `none`; `last` is where it was by the file of `server-state-file`.',
  },
  {kind: 'http-errors', usage: 'http-errors <name>', named: 'yes', from: false, description: 'Error pages, for `errorfiles`.'},
  {
    kind: 'peers',
    usage: 'peers <name>',
    named: 'yes',
    from: false,
    description: 'Accepted. No effect: stick tables are local.',
    ignored: 'stick tables are local',
  },
  {kind: 'cache', usage: 'cache <name>', named: 'yes', from: false, description: 'Accepted. No effect: nothing is cached.', ignored: 'nothing is cached'},
];

export const keywords = {
  ...globalKeywords,
  ...proxyKeywords,
  ...serverKeywords,
  ...httpKeywords,
  ...optionKeywords,
  ...appKeywords,
  ...sectionKeywords,
} as const;

/** The key of the table. Mostly it is what is written; see `writtenAs`. */
export type KeywordName = keyof typeof keywords;
export type ValueOf<Name extends KeywordName> = (typeof keywords)[Name] extends Keyword<infer Value> ? Value : never;

export const keywordNames: readonly KeywordName[] = Object.keys(keywords).filter(isKeywordName);

export function isKeywordName(text: string): text is KeywordName {
  return Object.hasOwn(keywords, text);
}

/** What stands in a configuration for an entry of the table. */
export function writtenAs(name: KeywordName): string {
  const entry: {readonly written?: string} = keywords[name];
  return entry.written ?? name;
}

const byKind = new Map<SectionKind, ReadonlyMap<string, KeywordName>>(
  sections.map(({kind}) => [kind, new Map(keywordNames.filter((name) => placesOf(name).includes(kind)).map((name) => [writtenAs(name), name]))]),
);

/** Where a keyword may stand. */
export function placesOf(name: KeywordName): readonly SectionKind[] {
  return keywords[name].sections;
}

/** The keywords of sections of a kind, by how they are written. */
export function keywordsOf(kind: SectionKind): ReadonlyMap<string, KeywordName> {
  return byKind.get(kind) ?? new Map<string, KeywordName>();
}

/** Sections in which something that is written so is a keyword. */
export function sectionsWith(written: string): readonly SectionKind[] {
  return sections.map(({kind}) => kind).filter((kind) => keywordsOf(kind).has(written));
}
