/**
 * HAProxy's lexer: one directive a line, no line continuation. Outside quotes and in double quotes a backslash escapes
 * (blank, `\`, `#`, quotes, `$`, n, r, t, xNN; before anything else it stands for itself); in single quotes nothing is
 * special; `$VAR`, `${VAR}`, `${VAR-default}` and `${VAR[*]}` are replaced in double quotes only.
 *
 * Better than HAProxy in four small things: an empty pair of quotes at the end of a line is a word; an unset variable
 * beside other text does not glue the next word to it; `\xNN` beyond ASCII must make up UTF-8; a carriage return in
 * the middle of a line does not silently end it.
 */
import type {Position} from './position.ts';

export interface Word {
  readonly text: string;
  readonly position: Position;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export interface LineContext {
  readonly file: string;
  readonly line: number;
  /** The keyword of the current section, for `${.SECTION}`. */
  readonly section: string;
  readonly env: Environment;
}

export type LexedLine = {readonly ok: true; readonly words: readonly Word[]} | {readonly ok: false; readonly position: Position; readonly message: string};

/** Splits one line, given without its line end (a carriage return at its end is ignored). */
export function lexLine(text: string, context: LineContext): LexedLine {
  const source = text.endsWith('\r') ? text.slice(0, -1) : text;
  try {
    return {ok: true, words: new LineLexer(source, context).run()};
  } catch (error) {
    if (!(error instanceof LexError)) throw error;
    const column = error.at + 1;
    return {
      ok: false,
      position: {file: context.file, line: context.line, column},
      message: `${error.message} at position ${column}:\n${pointAt(source, error.at)}`,
    };
  }
}

/** What cannot be split; `at` counts from 0. Never leaves this file. */
class LexError extends Error {
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

const shownBefore = 60;
const shownAfter = 40;

/** The line, cut when it is long, and below it a caret. */
function pointAt(source: string, at: number): string {
  const from = Math.max(0, at - shownBefore);
  const shown = source.slice(from, at + shownAfter).replace(/[\t\u0000-\u001f\u007f]/g, (character) => (character === '\t' ? ' ' : '?'));
  return `  ${shown}\n  ${' '.repeat(at - from)}^`;
}

const plain = /[^ \t\v\f\r\\"'#$\u0000]+/y;
const blanks = /[ \t\v\f]+/y;
const withinSingleQuotes = /[^']*/y;
const variableName = /\.?[A-Za-z0-9_]*/y;
const hexEscape = /\\x(?<digits>[0-9A-Fa-f]{2})/y;

const unquotedVariable = /\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))/y;
/** What begins lines that name addresses. */
const addressLines: ReadonlySet<string> = new Set(['bind', 'default-server', 'dispatch', 'log', 'nameserver', 'peer', 'server', 'server-template', 'source']);

const escaped: Readonly<Record<string, string>> = {' ': ' ', '\\': '\\', '#': '#', "'": "'", '"': '"', $: '$', n: '\n', r: '\r', t: '\t'};

class LineLexer {
  readonly #source: string;
  readonly #context: LineContext;
  readonly #words: Word[] = [];
  #at = 0;
  /** The word begun, or null between words. */
  #text: string | null = null;
  #start = 0;
  /** The word begun holds a variable that is not set; if it holds nothing else, it vanishes. */
  #unset = false;
  /** Where the open double quote is, or -1. */
  #quote = -1;

  constructor(source: string, context: LineContext) {
    this.#source = source;
    this.#context = context;
  }

  run(): readonly Word[] {
    while (this.#at < this.#source.length) {
      if (!this.#step()) break;
    }
    if (this.#quote >= 0) throw new LexError('unmatched quote', this.#quote);
    this.#endWord();
    return this.#words;
  }

  /** Takes the next piece. @returns false at a comment */
  #step(): boolean {
    const character = this.#source.charAt(this.#at);
    const quoted = this.#quote >= 0;
    switch (character) {
      case '"':
        this.#emit('');
        this.#quote = quoted ? -1 : this.#at;
        this.#at++;
        return true;
      case '\\':
        this.#escape();
        return true;
      case '\0':
        throw new LexError('NUL character', this.#at);
      case '\r':
        throw new LexError('carriage return in the middle of a line', this.#at);
      case "'":
        if (quoted) this.#take(character);
        else this.#singleQuoted();
        return true;
      case '#':
        if (!quoted) return false;
        this.#take(character);
        return true;
      case '$':
        if (quoted) this.#variable();
        else if (!this.#addressVariable()) this.#take(character);
        return true;
      default:
        this.#plainOrBlank(character, quoted);
        return true;
    }
  }

  #plainOrBlank(character: string, quoted: boolean): void {
    const run = this.#match(plain);
    if (run !== '') {
      this.#emit(run);
      this.#at += run.length;
    } else if (quoted) {
      this.#take(character);
    } else {
      this.#endWord();
      this.#at += this.#match(blanks).length;
    }
  }

  #match(pattern: RegExp, at = this.#at): string {
    pattern.lastIndex = at;
    return pattern.exec(this.#source)?.[0] ?? '';
  }

  #emit(text: string): void {
    if (this.#text === null) {
      this.#text = '';
      this.#start = this.#at;
      this.#unset = false;
    }
    this.#text += text;
  }

  #take(character: string): void {
    this.#emit(character);
    this.#at++;
  }

  #endWord(): void {
    if (this.#text !== null && !(this.#unset && this.#text === '')) {
      const {file, line} = this.#context;
      this.#words.push({text: this.#text, position: {file, line, column: this.#start + 1}});
    }
    this.#text = null;
  }

  #singleQuoted(): void {
    const text = this.#match(withinSingleQuotes, this.#at + 1);
    const end = this.#at + 1 + text.length;
    if (end >= this.#source.length) throw new LexError('unmatched quote', this.#at);
    const nul = text.indexOf('\0');
    if (nul >= 0) throw new LexError('NUL character', this.#at + 1 + nul);
    this.#emit(text);
    this.#at = end + 1;
  }

  #escape(): void {
    const next = this.#source.charAt(this.#at + 1);
    if (next === 'x') {
      this.#hexadecimal();
      return;
    }
    const meaning = next === '' ? undefined : escaped[next];
    this.#emit(meaning ?? '\\');
    this.#at += meaning === undefined ? 1 : 2;
  }

  /** A run of `\xNN` is a run of bytes: together they are text. */
  #hexadecimal(): void {
    const start = this.#at;
    const bytes: number[] = [];
    let end = start;
    for (;;) {
      hexEscape.lastIndex = end;
      const digits = hexEscape.exec(this.#source)?.groups?.['digits'];
      if (digits === undefined) break;
      bytes.push(Number.parseInt(digits, 16));
      end += 4;
    }
    if (end === start) throw new LexError('truncated or invalid hexadecimal sequence', start);
    if (bytes.includes(0)) throw new LexError('NUL character', start + bytes.indexOf(0) * 4);
    let text: string;
    try {
      text = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(Uint8Array.from(bytes));
    } catch {
      throw new LexError('hexadecimal sequence that is not UTF-8', start); // Which byte is wrong does not help.
    }
    this.#emit(text);
    this.#at = end;
  }

  /** At the `$`, in double quotes. */
  #variable(): void {
    let at = this.#at + 1;
    const brace = this.#source.charAt(at) === '{' ? at : -1;
    if (brace >= 0) at++;
    const name = this.#match(variableName, at);
    if (!/^\.?[A-Za-z_]/.test(name)) throw new LexError('forbidden first char in environment variable name', at);
    let value = this.#valueOf(name, at);
    at += name.length;
    let expand = false;
    if (brace >= 0) {
      if (this.#source.charAt(at) === '[') {
        if (!this.#source.startsWith('[*]', at)) throw new LexError('truncated or invalid word expansion sequence', at);
        expand = true;
        at += 3;
      }
      const end = this.#source.indexOf('}', at);
      const fallback = this.#source.charAt(at) === '-';
      if (end < 0 || (!fallback && end !== at)) throw new LexError('unmatched brace in environment variable name', brace);
      if (fallback) value ??= this.#source.slice(at + 1, end);
      at = end + 1;
    }
    this.#insert(value, expand);
    this.#at = at;
  }

  /** At a `$` outside of quotes: HAProxy puts variables into addresses wherever they stand. @returns whether it did */
  #addressVariable(): boolean {
    const [first, second] = this.#words;
    if (first === undefined || !(addressLines.has(first.text) || (first.text === 'stats' && second?.text === 'socket'))) return false;
    unquotedVariable.lastIndex = this.#at;
    const [whole, braced, bare] = unquotedVariable.exec(this.#source) ?? [];
    const name = braced ?? bare;
    if (whole === undefined || name === undefined) return false;
    this.#emit(Object.hasOwn(this.#context.env, name) ? (this.#context.env[name] ?? '') : '');
    this.#at += whole.length;
    return true;
  }

  #valueOf(name: string, at: number): string | undefined {
    switch (name) {
      case '.FILE':
        return this.#context.file;
      case '.LINE':
        return String(this.#context.line);
      case '.SECTION':
        return this.#context.section;
      default:
        if (name.startsWith('.')) throw new LexError('unknown internal variable', at);
        return Object.hasOwn(this.#context.env, name) ? this.#context.env[name] : undefined;
    }
  }

  #insert(value: string | undefined, expand: boolean): void {
    if (value === undefined || (expand && value.trim() === '')) {
      this.#emit('');
      this.#unset = true;
      return;
    }
    if (!expand) {
      this.#emit(value);
      this.#unset = false;
      return;
    }
    const [first = '', ...more] = value.trim().split(/\s+/);
    this.#emit(first);
    for (const part of more) {
      this.#endWord();
      this.#emit(part);
    }
  }
}
