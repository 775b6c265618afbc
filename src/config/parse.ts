/** Text to sections. An error costs its line; the rest is read on, so that one run shows all errors. */

import {Arguments, ConfigError} from './arguments.ts';
import {ConditionalBlocks} from './conditional/blocks.ts';
import type {Diagnostic} from './diagnostic.ts';
import type {SectionKind, SectionSpec} from './keyword.ts';
import {type KeywordName, keywords, keywordsOf, sections, sectionsWith, writtenAs} from './keywords.ts';
import {findKnown, knownKeywords, knownSections} from './known-keywords.ts';
import {type Environment, lexLine, type Word} from './lex.ts';
import {isName, nameRule} from './names.ts';
import {describePosition} from './position.ts';
import {modernForm, removedKeywords} from './removed-keywords.ts';
import {type HostFiles, openScope, type PathBases, type Scope} from './scope.ts';
import {type AnySetting, readSetting, type Section} from './section.ts';
import {didYouMean, inHaproxysWords, nearest} from './suggestion.ts';

export interface SourceFile {
  /** As messages name it. */
  readonly path: string;
  readonly text: string;
}

export interface Parsed {
  /** In order. Several `global` sections are still several. */
  readonly sections: readonly Section[];
  /** The environment as `setenv` has left it. */
  readonly env: Environment;
}

interface OpenSection extends Section {
  name: string;
  defaults: Section | null;
  readonly settings: AnySetting[];
  readonly failed: Set<string>;
  readonly byName: Map<KeywordName, AnySetting[]>;
  /** The last setting of each keyword; of all sections `global` together. */
  readonly latest: Map<KeywordName, AnySetting>;
}

export interface ParseOptions {
  readonly env: Environment;
  readonly host: HostFiles;
  readonly report: (diagnostic: Diagnostic) => void;
}

/** Reads files as if they were one, but for line numbers; a section may not go on in the next file. */
export function parseFiles(files: readonly SourceFile[], options: ParseOptions): Parsed {
  const parser = new Parser(options);
  for (const file of files) parser.readFile(file);
  return {sections: parser.sections, env: parser.env};
}

const sectionsByKind = new Map<string, SectionSpec>(sections.map((spec) => [spec.kind, spec]));
const messageLevels: ReadonlyMap<string, Diagnostic['level'] | null> = new Map([
  ['.alert', 'alert'],
  ['.warning', 'warning'],
  ['.notice', 'notice'],
  ['.diag', null], // HAProxy shows these only when it is asked to diagnose.
]);

/** Whatever section they stand in, such lines are meant. */
const essential: ReadonlySet<string> = new Set([
  'bind',
  'server',
  'server-template',
  'dispatch',
  'use-server',
  'use_backend',
  'default_backend',
  'tcp-response content',
]);
/** HAProxy's: rules are inherited from defaults that have a name only. */
const needsNamedDefaults = /^(?:acl|http-request|http-response|http-after-response|tcp-request (?:connection|session|content)|tcp-response content|redirect)$/;

class Parser {
  readonly sections: OpenSection[] = [];
  readonly env: Record<string, string | undefined>;
  readonly #host: HostFiles;
  readonly #report: (diagnostic: Diagnostic) => void;
  readonly #paths: PathBases = {defaultPath: null, crtBase: null, caBase: null};
  readonly #globalLatest = new Map<KeywordName, AnySetting>();
  readonly #blocks = new ConditionalBlocks();
  #current: OpenSection | null = null;
  /** In a section that is not known, or has no effect: its lines say nothing. */
  #skipping = false;
  #defaults: OpenSection | null = null;

  constructor({env, host, report}: ParseOptions) {
    this.env = {...env};
    this.#host = host;
    this.#report = report;
  }

  readFile({path, text}: SourceFile): void {
    this.#current = null;
    this.#skipping = false;
    const lines = text.replace(/^\ufeff/, '').split('\n');
    const last = lines.pop() ?? '';
    if (last !== '') lines.push(last);
    for (const [index, line] of lines.entries()) this.#readLine(path, index + 1, line);
    for (const position of this.#blocks.close()) this.#report({level: 'alert', position, word: '.if', message: "'.if' without '.endif'"});
    if (last === '') return;
    const position = {file: path, line: lines.length, column: last.length + 1};
    this.#report({level: 'warning', position, message: 'missing LF on last line, file might have been truncated'});
  }

  #readLine(file: string, line: number, text: string): void {
    const lexed = lexLine(text, {file, line, section: this.#current?.kind ?? '', env: this.env});
    if (!lexed.ok) {
      if (!this.#blocks.active) return;
      this.#report({level: 'alert', position: lexed.position, message: lexed.message});
      // What the line would have said is not missing.
      const keyword = /^\s*(\S+)(?:\s+(\S+))?/.exec(text);
      if (keyword !== null) this.#markFailed(keyword[1] ?? '', keyword[2]);
      return;
    }
    const [first, ...rest] = lexed.words;
    if (first === undefined) return;
    try {
      if (ConditionalBlocks.isDirective(first.text)) this.#blocks.read(first, rest, this.env);
      else if (this.#blocks.active) this.#readStatement(first, rest);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.#report(error.diagnostic);
      this.#markFailed(first.text, rest[0]?.text);
    }
  }

  #markFailed(first: string, second: string | undefined): void {
    this.#current?.failed.add(first);
    if (second !== undefined) this.#current?.failed.add(`${first} ${second}`);
  }

  #readStatement(first: Word, rest: readonly Word[]): void {
    const spec = sectionsByKind.get(first.text);
    if (spec !== undefined) {
      this.#openSection(spec, first, rest);
      return;
    }
    if (first.text.startsWith('.')) {
      this.#readMessage(first, rest);
      return;
    }
    const other = knownSections.get(first.text);
    if (other !== undefined) {
      this.#skip();
      throw new ConfigError(refusal(`section '${first.text}'`, other), first.position, first.text);
    }
    if (this.#skipping) return;
    if (this.#current === null) {
      const suggestion = didYouMean(first.text, sectionsByKind.keys());
      if (suggestion !== '') this.#skip();
      throw new ConfigError(`unknown keyword '${first.text}' out of section${suggestion}`, first.position, first.text);
    }
    this.#readKeyword(this.#current, first, rest);
  }

  #readMessage(first: Word, rest: readonly Word[]): void {
    const level = messageLevels.get(first.text);
    if (level === undefined) {
      const names = ['.if', '.elif', '.else', '.endif', ...messageLevels.keys()];
      throw new ConfigError(`unknown directive '${first.text}'${didYouMean(first.text, names)}`, first.position, first.text);
    }
    const message = rest.map(({text}) => text).join(' ') || first.text;
    if (level !== null) this.#report({level, position: first.position, word: first.text, message});
  }

  #skip(): void {
    this.#current = null;
    this.#skipping = true;
  }

  #openSection(spec: SectionSpec, first: Word, rest: readonly Word[]): void {
    const section: OpenSection = {
      kind: spec.kind,
      name: '',
      position: first.position,
      defaults: spec.from && spec.kind !== 'defaults' ? this.#defaults : null,
      settings: [],
      byName: new Map<KeywordName, AnySetting[]>(),
      failed: new Set(),
      latest: spec.kind === 'global' ? this.#globalLatest : new Map<KeywordName, AnySetting>(),
      scope: openScope(spec.kind, {host: this.#host, paths: this.#paths, env: this.env}),
    };
    // Whatever is wrong with its head, the lines that follow belong to it.
    this.#current = section;
    this.#skipping = false;
    this.#readHead(section, spec, this.#arguments(first.text, first, rest, section.scope));
    this.sections.push(section);
    if (spec.kind === 'defaults') this.#defaults = section;
    if (spec.ignored === undefined) return;
    this.#report({level: 'warning', position: first.position, word: first.text, message: `section '${first.text}' has no effect here: ${spec.ignored}`});
    this.#skip();
  }

  #arguments(keyword: string, {position}: Word, words: readonly Word[], scope: Scope): Arguments {
    return new Arguments({keyword, position, words, scope, report: this.#report});
  }

  #readHead(section: OpenSection, spec: SectionSpec, args: Arguments): void {
    const hasName = spec.named === 'yes' || (spec.named === 'optional' && !args.atEnd && args.peek()?.text !== 'from');
    if (hasName) section.name = this.#readName(args);
    if (spec.from && args.peek()?.text === 'from') section.defaults = this.#readFrom(args);
    const address = args.peek();
    if (address !== undefined && /:\d|^\//.test(address.text) && (spec.kind === 'frontend' || spec.kind === 'listen')) {
      args.warn(address, `an address after '${spec.kind}' is outdated, use 'bind' in the section`);
      this.#set(section, 'bind', address, args.takeRest());
    }
    args.expectEnd();
  }

  #readName(args: Arguments): string {
    const word = args.take('<name>');
    if (!isName(word.text)) throw args.invalid(word, nameRule);
    return word.text;
  }

  #readFrom(args: Arguments): OpenSection {
    args.take('from');
    const word = args.take('<defaults>');
    const candidates = this.sections.filter(({kind, name}) => kind === 'defaults' && name !== '');
    const [found, another] = candidates.filter(({name}) => name === word.text);
    if (found === undefined) {
      const names = candidates.map(({name}) => name);
      throw new ConfigError(`unknown defaults section '${word.text}'${didYouMean(word.text, names)}`, word.position, word.text);
    }
    if (another !== undefined) {
      const places = `${describePosition(found.position)} and ${describePosition(another.position)}`;
      throw new ConfigError(`ambiguous defaults section '${word.text}', declared at ${places}`, word.position, word.text);
    }
    return found;
  }

  #readKeyword(section: OpenSection, first: Word, rest: readonly Word[]): void {
    const [second, ...others] = rest;
    const known = keywordsOf(section.kind);
    const both = second === undefined ? undefined : known.get(`${first.text} ${second.text}`);
    // `http-check set-var(check.a) ...`: what stands in parentheses is read with the rest.
    const called = second === undefined ? undefined : known.get(`${first.text} ${second.text.replace(/\(.*$/s, '')}`);
    const single = known.get(first.text);
    if (both !== undefined) this.#set(section, both, first, others);
    else if (called !== undefined) this.#set(section, called, first, rest);
    else if (single !== undefined) this.#set(section, single, first, rest);
    else if (first.text === 'no' && second !== undefined) this.#negate(section, first, rest);
    else this.#readOther(section, first, rest);
  }

  /** A keyword that is not one of this section's. */
  #readOther(section: OpenSection, first: Word, rest: readonly Word[]): void {
    const modern = modernForm(first, rest);
    if (modern !== null && keywordsOf(section.kind).has('acl')) {
      const shown = modern.words
        .slice(0, 3)
        .map(({text}) => text)
        .join(' ');
      this.#report({level: 'warning', position: first.position, word: modern.old, message: `'${modern.old}' is outdated, it is read as '${shown} ...'`});
      const [modernFirst = first, ...modernRest] = modern.words;
      this.#readKeyword(section, modernFirst, modernRest);
      return;
    }
    const both = `${first.text} ${rest[0]?.text ?? ''}`;
    const written = sectionsWith(both).length > 0 ? both : first.text;
    const places = sectionsWith(written);
    if (places.length > 0 && findKnown(section.kind, first.text, rest[0]?.text) === undefined) {
      if (this.#isHarmless(section, first, written, places)) return;
      const belongs = places.map((kind) => `'${kind}'`).join(', ');
      throw new ConfigError(`'${written}' is not allowed in '${section.kind}' section, it belongs in ${belongs}`, first.position, written);
    }
    this.#readKnown(section, first, rest);
  }

  /** HAProxy's warning for a line about the other half of a proxy. Who listens and who answers is not guessed, though. */
  #isHarmless({kind, name}: OpenSection, {position}: Word, written: string, places: readonly SectionKind[]): boolean {
    if ((kind !== 'frontend' && kind !== 'backend') || !places.includes('listen') || essential.has(written)) return false;
    const half = kind === 'frontend' ? 'backend' : 'frontend';
    const message = `'${written}' is ignored, ${kind} '${name}' has no ${half} capability`;
    this.#report({level: 'warning', position, word: written, message});
    return true;
  }

  #set(section: OpenSection, name: KeywordName, first: Word, words: readonly Word[]): void {
    if (section.kind === 'defaults' && section.name === '' && needsNamedDefaults.test(name)) {
      throw new ConfigError(`'${name}' is not allowed in 'defaults' section without a name`, first.position, name);
    }
    const {repeated} = keywords[name];
    const setting = readSetting(name, this.#arguments(writtenAs(name), first, words, section.scope));
    if (repeated !== 'allowed') this.#checkRepeated(section, setting, repeated);
    keep(section, setting);
  }

  /** `no option ...`. What the option itself would say is read and dropped. */
  #negate(section: OpenSection, first: Word, [second, third, ...others]: readonly Word[]): void {
    if (second === undefined) return;
    const known = keywordsOf(section.kind);
    const both = third === undefined ? undefined : known.get(`${second.text} ${third.text}`);
    const name = both ?? known.get(second.text);
    const entry: {readonly negated?: unknown} = name === undefined ? {} : keywords[name];
    if (name === undefined) {
      this.#readKnown(section, first, third === undefined ? [second] : [second, third, ...others]);
      return;
    }
    const shown = `no ${writtenAs(name)}`;
    if (!('negated' in entry)) throw new ConfigError(`'${shown}' is not possible`, first.position, shown);
    const [extra] = both === undefined ? (third === undefined ? [] : [third, ...others]) : others;
    if (extra !== undefined && name === 'log')
      throw new ConfigError(`'${shown}' cannot handle unexpected argument '${extra.text}'`, extra.position, extra.text);
    // The value comes from the entry of this very keyword, which the compiler cannot follow.
    const setting = {name, value: entry.negated, position: first.position} as AnySetting;
    keep(section, setting);
  }

  #checkRepeated(section: OpenSection, setting: AnySetting, repeated: 'error' | 'warning'): void {
    const {name, position} = setting;
    const earlier = section.latest.get(name);
    if (earlier === undefined) return;
    const written = writtenAs(name);
    if (repeated === 'error') throw new ConfigError(`'${written}' is already set at ${describePosition(earlier.position)}`, position, written);
    this.#report({level: 'warning', position, word: written, message: `'${written}' overrides the value set at ${describePosition(earlier.position)}`});
  }

  #readKnown(section: OpenSection, first: Word, rest: readonly Word[]): void {
    const negated = first.text === 'no' && rest.length > 0;
    const [keyword = first, second] = negated ? rest : [first, ...rest];
    const found = findKnown(section.kind, keyword.text, second?.text);
    if (found === undefined) {
      this.#unknown(section, first, rest[0]);
      return;
    }
    const name = negated ? `no ${found.name}` : found.name;
    if (found.known.kind !== 'ignored') throw new ConfigError(refusal(`'${name}'`, found.known), first.position, name);
    this.#report({level: 'warning', position: first.position, word: name, message: `'${name}' has no effect here`});
  }

  #unknown(section: OpenSection, first: Word, second: Word | undefined): never {
    const ownNames = [...keywordsOf(section.kind).keys()];
    const removed = keywordsOf(section.kind).has('acl') ? removedKeywords : [];
    const names = [...ownNames, ...knownKeywords(section.kind).keys(), ...removed];
    const continued = names.filter((name) => name.startsWith(`${first.text} `));
    const word = continued.length > 0 && second !== undefined ? `${first.text} ${second.text}` : first.text;
    if (continued.length > 0 && second === undefined) {
      const possible = ownNames.filter((name) => name.startsWith(`${first.text} `)).map((name) => name.slice(first.text.length + 1));
      throw new ConfigError(`missing argument for '${first.text}': ${possible.join(', ') || 'a word'} is expected`, first.position, first.text);
    }
    const candidates = continued.length > 0 ? continued : [...names, ...sectionsByKind.keys()];
    const suggestion = nearest(word, candidates);
    // Somebody who misspelt `frontend` does not want to hear of every line that follows.
    if (suggestion !== undefined && sectionsByKind.has(suggestion)) this.#skip();
    else if (suggestion !== undefined) section.failed.add(suggestion);
    const message = `unknown keyword '${word}' in '${section.kind}' section${inHaproxysWords(suggestion)}`;
    throw new ConfigError(message, (word === first.text ? first : (second ?? first)).position, word);
  }
}

function keep({settings, byName, latest}: OpenSection, setting: AnySetting): void {
  settings.push(setting);
  latest.set(setting.name, setting);
  const same = byName.get(setting.name);
  if (same === undefined) byName.set(setting.name, [setting]);
  else same.push(setting);
}

function refusal(what: string, known: {readonly kind: 'ignored' | 'later'} | {readonly kind: 'refused'; readonly instead: string}): string {
  return known.kind === 'refused' ? `${what} is not supported: ${known.instead}` : `${what} is not implemented yet`;
}
