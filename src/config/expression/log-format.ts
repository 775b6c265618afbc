/** Texts with `%ci`, `%{+Q}r` and `%[sample,converter]` in them: log formats, headers, redirects. */
import {ConfigError} from '../arguments.ts';
import type {Word} from '../lex.ts';
import type {Format, FormatOptions, FormatPart} from '../sample.ts';
import type {Scope} from '../scope.ts';
import {didYouMean} from '../suggestion.ts';
import {logVariables} from './log-variables.ts';
import {readExpression} from './sample-expression.ts';

/**
 * Reads a format.
 * @param use a log line shows what is missing as `-` and runs of blanks as one; a value (a header, a URL) does neither
 * @throws ConfigError
 */
export function readFormat(word: Word, scope: Scope, use: 'log' | 'value'): Format {
  return new FormatReader(word, scope, use).run();
}

/** A format that is nothing but text. */
export function textFormat(text: string): Format {
  return text === '' ? [] : [{kind: 'text', text}];
}

const variableName = /[A-Za-z]+/y;

class FormatReader {
  readonly #word: Word;
  readonly #scope: Scope;
  readonly #use: 'log' | 'value';
  readonly #parts: FormatPart[] = [];
  /** Of all that follows; `%{+Q}o` changes them. */
  #options: FormatOptions;
  #text = '';
  #at = 0;

  constructor(word: Word, scope: Scope, use: 'log' | 'value') {
    this.#word = word;
    this.#scope = scope;
    this.#use = use;
    this.#options = {quote: false, escape: false, hex: false, dashIfMissing: use === 'log'};
  }

  run(): Format {
    const {text} = this.#word;
    while (this.#at < text.length) {
      const percent = text.indexOf('%', this.#at);
      this.#addText(text.slice(this.#at, percent < 0 ? undefined : percent));
      if (percent < 0) break;
      this.#at = percent + 1;
      this.#variable();
    }
    this.#endText();
    return this.#parts;
  }

  /** Behind a `%`. */
  #variable(): void {
    const {text} = this.#word;
    if (text.charAt(this.#at) === '%') {
      this.#addText('%');
      this.#at++;
      return;
    }
    const options = this.#readOptions();
    if (text.charAt(this.#at) === '[') this.#sample(options);
    else this.#named(options);
  }

  #named(options: FormatOptions): void {
    variableName.lastIndex = this.#at;
    const name = variableName.exec(this.#word.text)?.[0] ?? '';
    this.#at += name.length;
    if (name === 'o') {
      this.#options = options;
      return;
    }
    if (!logVariables.has(name)) {
      const hint = "; a '%' that is meant as such is written '%%'";
      throw this.#fail(`no such format variable '%${name}'${didYouMean(name, name.length > 1 ? logVariables.keys() : [])}${hint}`);
    }
    this.#endText();
    this.#parts.push({kind: 'variable', name, argument: '', options});
  }

  #sample(options: FormatOptions): void {
    const {expression, end} = readExpression(this.#at + 1, {scope: this.#scope, word: this.#word});
    if (this.#word.text.charAt(end) !== ']') {
      throw this.#fail(`expected ']' after sample expression '${expression.text}', found '${this.#word.text.slice(end, end + 10)}'`);
    }
    this.#at = end + 1;
    this.#endText();
    this.#parts.push({kind: 'sample', expression, options});
  }

  /** `{+Q,-X}` */
  #readOptions(): FormatOptions {
    const {text} = this.#word;
    if (text.charAt(this.#at) !== '{') return this.#options;
    const end = text.indexOf('}', this.#at);
    if (end < 0) throw this.#fail("missing '}' in a format");
    const flags = text.slice(this.#at + 1, end);
    this.#at = end + 1;
    let options = this.#options;
    for (const flag of flags.split(',').filter((part) => part !== '')) options = {...options, ...this.#option(flag)};
    return options;
  }

  #option(flag: string): Partial<FormatOptions> {
    const on = !flag.startsWith('-');
    switch (flag.replace(/^[+-]/, '')) {
      case 'Q':
        return {quote: on};
      case 'E':
        return {escape: on};
      case 'X':
        return {hex: on};
      case 'M':
        return {dashIfMissing: on};
      default:
        throw this.#fail(`unknown flag '${flag}' in a format: Q, E, X and M are possible`);
    }
  }

  #addText(text: string): void {
    this.#text += text;
  }

  #endText(): void {
    if (this.#text === '') return;
    const text = this.#use === 'log' ? this.#text.replace(/[ \t]+/g, ' ') : this.#text;
    this.#parts.push({kind: 'text', text});
    this.#text = '';
  }

  #fail(message: string): ConfigError {
    return new ConfigError(`${message} in '${this.#word.text}'`, this.#word.position, this.#word.text);
  }
}
