/** Text to sections. An error costs its line; the rest is read on, so that one run shows all errors. */

import {Arguments, ConfigError} from './arguments.ts';
import type {Diagnostic} from './diagnostic.ts';
import {isKeywordName, type KeywordName, keywordNames, keywords, type SectionSpec, sections} from './keywords.ts';
import {findKnown, knownKeywords, knownSections} from './known-keywords.ts';
import {type Environment, lexLine, type Word} from './lex.ts';
import {isName, nameRule} from './names.ts';
import {describePosition} from './position.ts';
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
}

interface OpenSection extends Section {
  name: string;
  defaults: Section | null;
  readonly settings: AnySetting[];
  readonly failed: Set<string>;
}

/** Reads files as if they were one, but for line numbers; a section may not go on in the next file. */
export function parseFiles(files: readonly SourceFile[], env: Environment, report: (diagnostic: Diagnostic) => void): Parsed {
  const parser = new Parser(env, report);
  for (const file of files) parser.readFile(file);
  return {sections: parser.sections};
}

const sectionsByKind = new Map<string, SectionSpec>(sections.map((spec) => [spec.kind, spec]));

class Parser {
  readonly sections: OpenSection[] = [];
  readonly #env: Environment;
  readonly #report: (diagnostic: Diagnostic) => void;
  #current: OpenSection | null = null;
  /** In a section that is not known: its lines say nothing. */
  #skipping = false;
  #defaults: OpenSection | null = null;

  constructor(env: Environment, report: (diagnostic: Diagnostic) => void) {
    this.#env = env;
    this.#report = report;
  }

  readFile({path, text}: SourceFile): void {
    this.#current = null;
    this.#skipping = false;
    const lines = text.replace(/^\ufeff/, '').split('\n');
    const last = lines.pop() ?? '';
    if (last !== '') lines.push(last);
    for (const [index, line] of lines.entries()) this.#readLine(path, index + 1, line);
    if (last === '') return;
    const position = {file: path, line: lines.length, column: last.length + 1};
    this.#report({level: 'warning', position, message: 'missing LF on last line, file might have been truncated'});
  }

  #readLine(file: string, line: number, text: string): void {
    const lexed = lexLine(text, {file, line, section: this.#current?.kind ?? '', env: this.#env});
    if (!lexed.ok) {
      this.#report({level: 'alert', position: lexed.position, message: lexed.message});
      // What the line would have said is not missing.
      const keyword = /^\s*(\S+)(?:\s+(\S+))?/.exec(text);
      if (keyword !== null) this.#markFailed(keyword[1] ?? '', keyword[2]);
      return;
    }
    const [first, ...rest] = lexed.words;
    if (first === undefined) return;
    try {
      this.#readStatement(first, rest);
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
    if (first.text.startsWith('.')) throw new ConfigError(`'${first.text}' is not implemented yet`, first.position, first.text);
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
      failed: new Set(),
    };
    // Whatever is wrong with its head, the lines that follow belong to it.
    this.#current = section;
    this.#skipping = false;
    this.#readHead(section, spec, new Arguments({keyword: first.text, position: first.position, words: rest, report: this.#report}));
    this.sections.push(section);
    if (spec.kind === 'defaults') this.#defaults = section;
  }

  #readHead(section: OpenSection, spec: SectionSpec, args: Arguments): void {
    const hasName = spec.named === 'yes' || (spec.named === 'optional' && !args.atEnd && args.peek()?.text !== 'from');
    if (hasName) section.name = this.#readName(args);
    if (spec.from && args.peek()?.text === 'from') section.defaults = this.#readFrom(args);
    const extra = args.peek();
    if (extra !== undefined && /:\d/.test(extra.text) && (spec.kind === 'frontend' || spec.kind === 'listen')) {
      throw new ConfigError(`'${spec.kind}' with an address is not implemented, use 'bind' in the section`, extra.position, extra.text);
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
    const both = `${first.text} ${second?.text ?? ''}`;
    if (second !== undefined && isKeywordName(both)) this.#set(section, both, first, others);
    // `user` is ours in an app and HAProxy's in `global`.
    else if (isKeywordName(first.text) && !knownKeywords(section.kind).has(first.text)) this.#set(section, first.text, first, rest);
    else this.#readKnown(section, first, rest);
  }

  #set(section: OpenSection, name: KeywordName, first: Word, words: readonly Word[]): void {
    const {sections: allowed, repeated} = keywords[name];
    if (!allowed.some((kind) => kind === section.kind)) {
      const places = allowed.map((kind) => `'${kind}'`).join(', ');
      throw new ConfigError(`'${name}' is not allowed in '${section.kind}' section, it belongs in ${places}`, first.position, name);
    }
    const setting = readSetting(name, new Arguments({keyword: name, position: first.position, words, report: this.#report}));
    if (repeated !== 'allowed') this.#checkRepeated(section, setting, repeated);
    section.settings.push(setting);
  }

  #checkRepeated(section: OpenSection, setting: AnySetting, repeated: 'error' | 'warning'): void {
    const together = section.kind === 'global' ? this.sections.filter(({kind}) => kind === 'global') : [section];
    const earlier = together.flatMap(({settings}) => settings).findLast(({name}) => name === setting.name);
    if (earlier === undefined) return;
    const {name, position} = setting;
    if (repeated === 'error') throw new ConfigError(`'${name}' is already set at ${describePosition(earlier.position)}`, position, name);
    this.#report({level: 'warning', position, word: name, message: `'${name}' overrides the value set at ${describePosition(earlier.position)}`});
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
    const ownNames = keywordNames.filter((name) => keywords[name].sections.some((kind) => kind === section.kind));
    const names = [...ownNames, ...knownKeywords(section.kind).keys()];
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

function refusal(what: string, known: {readonly kind: 'ignored' | 'later'} | {readonly kind: 'refused'; readonly instead: string}): string {
  return known.kind === 'refused' ? `${what} is not supported: ${known.instead}` : `${what} is not implemented yet`;
}
