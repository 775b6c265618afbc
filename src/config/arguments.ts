import {CodedError} from '../core/errors.ts';
import type {Diagnostic} from './diagnostic.ts';
import type {Word} from './lex.ts';
import type {Position} from './position.ts';
import type {Scope} from './scope.ts';
import type {Parsed} from './units.ts';

/** A statement that means nothing: thrown while it is read, collected by whoever reads the file. */
export class ConfigError extends CodedError<'ERR_BAD_CONFIG'> {
  readonly position: Position;
  readonly word: string | undefined;

  constructor(message: string, position: Position, word?: string) {
    super('ERR_BAD_CONFIG', message, {source: 'client'});
    this.position = position;
    this.word = word;
  }

  get diagnostic(): Diagnostic {
    const {position, word, message} = this;
    return {level: 'alert', position, message, ...(word === undefined ? {} : {word})};
  }
}

/** The words after a keyword, taken one by one. */
export class Arguments {
  /** As messages name it: `timeout connect`. */
  readonly keyword: string;
  /** Of the keyword. */
  readonly position: Position;
  /** Of the section that the line stands in. */
  readonly scope: Scope;
  readonly #words: readonly Word[];
  readonly #report: (diagnostic: Diagnostic) => void;
  #next = 0;

  constructor(options: {keyword: string; position: Position; scope: Scope; words: readonly Word[]; report: (diagnostic: Diagnostic) => void}) {
    this.keyword = options.keyword;
    this.position = options.position;
    this.scope = options.scope;
    this.#words = options.words;
    this.#report = options.report;
  }

  get atEnd(): boolean {
    return this.#next >= this.#words.length;
  }

  peek(): Word | undefined {
    return this.#words[this.#next];
  }

  /** @param what as in the usage: `<number>` @throws ConfigError when no word is left */
  take(what: string): Word {
    const word = this.#words[this.#next];
    if (word === undefined) throw new ConfigError(`missing argument for '${this.keyword}': ${what} is expected`, this.position, this.keyword);
    this.#next++;
    return word;
  }

  /** Takes a word and what `parse` makes of it. @throws ConfigError */
  takeParsed<Value>(what: string, parse: (text: string) => Parsed<Value>): Value {
    const word = this.take(what);
    const parsed = parse(word.text);
    if (!parsed.ok) throw this.invalid(word, parsed.reason);
    return parsed.value;
  }

  /** Takes all that is left, perhaps nothing. */
  takeRest(): readonly Word[] {
    const rest = this.#words.slice(this.#next);
    this.#next = this.#words.length;
    return rest;
  }

  /** @throws ConfigError when words are left */
  expectEnd(): void {
    const word = this.peek();
    if (word !== undefined) throw new ConfigError(`'${this.keyword}' cannot handle unexpected argument '${word.text}'`, word.position, word.text);
  }

  /** An error to throw, at a word. */
  invalid(word: Word, reason: string): ConfigError {
    return new ConfigError(`invalid value '${word.text}' for '${this.keyword}': ${reason}`, word.position, word.text);
  }

  warn(word: Word, message: string): void {
    this.#report({level: 'warning', position: word.position, word: word.text, message});
  }

  /** For what stands in a file that the line names. */
  report(diagnostic: Diagnostic): void {
    this.#report(diagnostic);
  }
}
