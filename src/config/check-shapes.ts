/** Lines that say what a health check sends and expects: `option httpchk`, `http-check ...`, `tcp-check ...`. */
import type {Arguments} from './arguments.ts';
import {readFormat, textFormat} from './expression/log-format.ts';
import {parseRegex} from './expression/regex.ts';
import {readExpressionWord} from './expression/sample-expression.ts';
import {type Expectation, type OutcomeReport, outcomeStatuses, type TcpCheckStep} from './health.ts';
import type {Word} from './lex.ts';
import {smtpSteps} from './protocol-checks.ts';
import type {Format} from './sample.ts';
import type {Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';
import {parseInteger} from './units.ts';

/** Of a request; undefined: not said here. */
export interface CheckRequest {
  readonly method?: string;
  readonly uri?: Format;
  readonly version?: string;
  readonly headers?: readonly {readonly name: string; readonly value: Format}[];
  readonly body?: Format;
}

function takeMethod(args: Arguments): string {
  const word = args.take('<method>');
  if (!/^[A-Z]+$/.test(word.text)) throw args.invalid(word, 'a method such as GET is expected');
  return word.text;
}

function takeVersion(args: Arguments): string {
  const word = args.take('<version>');
  const [, version] = /^HTTP\/(\d\.\d)(?:\r\n|$)/.exec(word.text) ?? [];
  if (version === undefined) throw args.invalid(word, 'HTTP/1.0 or HTTP/1.1 is expected');
  return version;
}

/** Headers that old configurations put after the version: `HTTP/1.1\r\nHost:\ www`. */
function headersInVersion(word: Word): {readonly name: string; readonly value: Format}[] {
  return word.text
    .split('\r\n')
    .slice(1)
    .flatMap((line) => {
      const [, name = '', value = ''] = /^([^:\s]+):\s*(.*)$/.exec(line) ?? [];
      return name === '' ? [] : [{name, value: textFormat(value)}];
    });
}

/** `[<uri>] | [<method> <uri> [<version>]]` */
export const httpCheckOption: Shape<CheckRequest> = {
  usage: '[[<method>] <uri> [<version>]]',
  read(args) {
    if (args.atEnd) return {};
    const first = args.take('<uri>');
    if (args.peek() === undefined) return {uri: textFormat(first.text)};
    if (!/^[A-Z]+$/.test(first.text)) throw args.invalid(first, 'a method such as GET is expected');
    const uri = textFormat(args.take('<uri>').text);
    const versionWord = args.peek();
    if (versionWord === undefined) return {method: first.text, uri};
    const version = takeVersion(args);
    // A host name may follow in words of its own.
    const more = args.takeRest().map(({text}) => text);
    const word = more.length === 0 ? versionWord : {...versionWord, text: `${versionWord.text} ${more.join(' ')}`};
    return {method: first.text, uri, version, headers: headersInVersion(word)};
  },
};

const sendWords = ['meth', 'uri', 'uri-lf', 'ver', 'hdr', 'body', 'body-lf', 'comment'];

export const httpCheckSend: Shape<CheckRequest> = {
  usage: '[meth <method>] [uri <uri> | uri-lf <format>] [ver <version>] [hdr <name> <format>]... [body <text> | body-lf <format>] [comment <text>]',
  read(args) {
    const request: {-readonly [Key in keyof CheckRequest]: CheckRequest[Key]} = {};
    const headers: {readonly name: string; readonly value: Format}[] = [];
    while (!args.atEnd) {
      const word = args.take('<option>');
      switch (word.text) {
        case 'meth':
          request.method = takeMethod(args);
          break;
        case 'uri':
          request.uri = textFormat(args.take('<uri>').text);
          break;
        case 'uri-lf':
          request.uri = readFormat(args.take('<format>'), args.scope, 'value');
          break;
        case 'ver':
          request.version = takeVersion(args);
          break;
        case 'hdr':
          headers.push({name: args.take('<name>').text, value: readFormat(args.take('<format>'), args.scope, 'value')});
          break;
        case 'body':
          request.body = textFormat(args.take('<text>').text);
          break;
        case 'body-lf':
          request.body = readFormat(args.take('<format>'), args.scope, 'value');
          break;
        case 'comment':
          args.take('<text>');
          break;
        default:
          throw args.invalid(word, `${sendWords.join(', ')} are possible${didYouMean(word.text, sendWords)}`);
      }
    }
    return headers.length === 0 ? request : {...request, headers};
  },
};

/** How an expectation begins, by the kind of check. */
const httpKinds: Readonly<Record<string, Pick<Expectation, 'kind' | 'method'>>> = {
  status: {kind: 'status', method: 'str'},
  rstatus: {kind: 'status', method: 'reg'},
  string: {kind: 'string', method: 'sub'},
  rstring: {kind: 'string', method: 'reg'},
  'string-lf': {kind: 'string', method: 'sub'},
};
const tcpKinds: Readonly<Record<string, Pick<Expectation, 'kind' | 'method'>>> = {
  string: {kind: 'string', method: 'sub'},
  rstring: {kind: 'string', method: 'reg'},
  binary: {kind: 'binary', method: 'sub'},
  rbinary: {kind: 'binary', method: 'reg'},
  'string-lf': {kind: 'string', method: 'sub'},
  'binary-lf': {kind: 'binary', method: 'sub'},
};
export const httpCheckExpect: Shape<Expectation> = {
  usage:
    '[<option>...] [!] status <codes> | rstatus <regex> | string <text> | string-lf <format> | rstring <regex> | (hdr | fhdr) (name [-m <method>] <name> | name-lf [-m <method>] <format>) [value [-m <method>] <text> | value-lf [-m <method>] <format>], where an option is comment <text>, ok-status | error-status | tout-status <status>, on-success | on-error <format> or status-code <sample>',
  read: (args) => readExpectation(args, httpKinds, true),
};

export const tcpCheckExpect: Shape<TcpCheckStep> = {
  usage:
    '[min-recv <bytes>] [<option>...] [!] string <text> | string-lf <format> | rstring <regex> | binary <hex> | binary-lf <format> | rbinary <regex>, where an option is as with `http-check expect`',
  read: (args) => ({kind: 'expect', expectation: readExpectation(args, tcpKinds, false)}),
};

type ExpectationOptions = Pick<Expectation, 'comment' | 'minReceivedBytes' | 'report'>;

function readExpectation(args: Arguments, kinds: typeof httpKinds, isHttp: boolean): Expectation {
  const options = new OptionReader(args, isHttp);
  let negated = false;
  for (;;) {
    if (options.read()) continue;
    const word = args.take('<match>');
    const bang = /^!+/.exec(word.text)?.[0] ?? '';
    if (bang.length % 2 === 1) negated = !negated;
    const name = word.text.slice(bang.length);
    if (name === '') continue;
    const match: Omit<Expectation, 'comment'> =
      isHttp && (name === 'hdr' || name === 'fhdr')
        ? readHeaderExpectation(args, {negated, whole: name === 'fhdr'})
        : {negated, ...readPattern(word, name, args, kinds), name: null};
    // They may stand after the pattern too.
    while (options.read());
    return {...match, ...options.found()};
  }
}

/** What an expectation says beside what is expected. */
class OptionReader {
  readonly #args: Arguments;
  readonly #isHttp: boolean;
  #comment: string | null = null;
  #minReceivedBytes: number | null = null;
  readonly #report: {-readonly [Key in keyof OutcomeReport]: OutcomeReport[Key]} = {};

  constructor(args: Arguments, isHttp: boolean) {
    this.#args = args;
    this.#isHttp = isHttp;
  }

  found(): ExpectationOptions {
    return {
      ...(this.#minReceivedBytes === null ? {} : {minReceivedBytes: this.#minReceivedBytes}),
      ...(Object.keys(this.#report).length === 0 ? {} : {report: this.#report}),
      comment: this.#comment,
    };
  }

  /** False: what comes next is none. */
  read(): boolean {
    const args = this.#args;
    const report = this.#report;
    const name = args.peek()?.text;
    switch (name) {
      case 'comment':
        args.take(name);
        this.#comment = args.take('<text>').text;
        return true;
      case 'min-recv':
        this.#readLength(args.take(name));
        return true;
      case 'ok-status':
        report.passedStatus = this.#status(outcomeStatuses[name]);
        return true;
      case 'error-status':
        report.failedStatus = this.#status(outcomeStatuses[name]);
        return true;
      case 'tout-status':
        report.lateStatus = this.#status(outcomeStatuses[name]);
        return true;
      case 'on-success':
        report.onSuccess = this.#format();
        return true;
      case 'on-error':
        report.onError = this.#format();
        return true;
      case 'status-code':
        args.take(name);
        report.code = readExpressionWord(args.take('<sample>'), args.scope).expression;
        return true;
      default:
        return false;
    }
  }

  #status<Status extends string>(possible: readonly Status[]): Status {
    const args = this.#args;
    args.take('<option>');
    const word = args.take('<status>');
    const found = possible.find((status) => status === word.text);
    if (found === undefined) throw args.invalid(word, `${possible.join(', ')} are possible${didYouMean(word.text, possible)}`);
    return found;
  }

  #format(): Format {
    this.#args.take('<option>');
    return readFormat(this.#args.take('<format>'), this.#args.scope, 'value');
  }

  /** -1 is what holds without the option. */
  #readLength(word: Word): void {
    const args = this.#args;
    const bytes = args.takeParsed('<bytes>', (text) => (text === '-1' ? {ok: true, value: -1} : parseInteger(text, {min: 0, max: 2 ** 31 - 1})));
    if (this.#isHttp) args.warn(word, `'${word.text}' of '${args.keyword}' has no effect here: an answer has an end`);
    else this.#minReceivedBytes = bytes === -1 ? null : bytes;
  }
}

function readPattern(word: Word, name: string, args: Arguments, kinds: typeof httpKinds): Pick<Expectation, 'kind' | 'method' | 'value' | 'format'> {
  const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
  if (kind === undefined) throw args.invalid(word, `${Object.keys(kinds).join(', ')} are possible${didYouMean(name, Object.keys(kinds))}`);
  const value = args.take('<pattern>');
  if (name.endsWith('-lf')) return {...kind, value: '', format: readFormat(value, args.scope, 'value')};
  const parsed = kind.method === 'reg' ? parseRegex(value.text, {ignoreCase: false}) : null;
  if (parsed !== null && !parsed.ok) throw args.invalid(value, parsed.reason);
  if (kind.kind === 'status' && kind.method === 'str') checkStatuses(value, args);
  if (kind.kind === 'binary' && kind.method !== 'reg') parseHex(value, args);
  return {...kind, value: value.text};
}

function checkStatuses(word: Word, args: Arguments): void {
  for (const range of word.text.split(',')) {
    const [, low = '', high = low] = /^(\d{3})(?:-(\d{3}))?$/.exec(range) ?? [];
    if (low === '' || Number(high) < Number(low)) throw args.invalid(word, 'a status such as 200 or a range such as 200-399 is expected');
  }
}

const headerFlags: Readonly<Record<string, Expectation['method']>> = {str: 'str', beg: 'beg', end: 'end', sub: 'sub', reg: 'reg'};

function readHeaderExpectation(args: Arguments, facts: Pick<Expectation, 'negated' | 'whole'>): Omit<Expectation, 'comment'> {
  const keyword = args.take('name');
  if (keyword.text !== 'name' && keyword.text !== 'name-lf') throw args.invalid(keyword, "'name' or 'name-lf' and the name of a header are expected");
  const name = readCompared(args, '<name>', keyword.text === 'name-lf');
  const nameFormat = name.format === null ? {} : {nameFormat: name.format};
  const common = {...facts, kind: 'header', name: name.text, ...nameFormat, nameMethod: name.method} as const;
  const next = args.peek()?.text;
  if (next !== 'value' && next !== 'value-lf') return {...common, method: 'sub', value: ''};
  args.take('value');
  const {method, text, format} = readCompared(args, '<value>', next === 'value-lf');
  return {...common, method, value: text, ...(format === null ? {} : {format})};
}

interface Compared {
  readonly method: Expectation['method'];
  readonly text: string;
  readonly format: Format | null;
}

/** `[-m str | beg | end | sub | reg] <text>` */
function readCompared(args: Arguments, what: string, isFormat: boolean): Compared {
  let method: Expectation['method'] = 'str';
  if (args.peek()?.text === '-m') {
    args.take('-m');
    const word = args.take('<method>');
    const found = headerFlags[word.text];
    if (found === undefined) throw args.invalid(word, `${Object.keys(headerFlags).join(', ')} are possible`);
    method = found;
  }
  const word = args.take(what);
  if (isFormat && method === 'reg') throw args.invalid(word, 'a text with expressions in it is no regular expression');
  if (isFormat) return {method, text: '', format: readFormat(word, args.scope, 'value')};
  const parsed = method === 'reg' ? parseRegex(word.text, {ignoreCase: false}) : null;
  if (parsed !== null && !parsed.ok) throw args.invalid(word, parsed.reason);
  return {method, text: word.text, format: null};
}

/** Pairs of hexadecimal digits. @throws ConfigError */
function parseHex(word: Word, args: Arguments): Uint8Array {
  if (!/^(?:[0-9A-Fa-f]{2})+$/.test(word.text)) throw args.invalid(word, 'pairs of hexadecimal digits are expected');
  return Uint8Array.from(Buffer.from(word.text, 'hex'));
}

function skipComment(args: Arguments): void {
  if (args.peek()?.text !== 'comment') return;
  args.take('comment');
  args.take('<text>');
}

export const tcpCheckSend: Shape<TcpCheckStep> = {
  usage: '<text> [comment <text>]',
  read(args) {
    const data = Uint8Array.from(Buffer.from(args.take('<text>').text, 'utf8'));
    skipComment(args);
    return {kind: 'send', data};
  },
};

export const tcpCheckSendBinary: Shape<TcpCheckStep> = {
  usage: '<hex> [comment <text>]',
  read(args) {
    const data = parseHex(args.take('<hex>'), args);
    skipComment(args);
    return {kind: 'send', data};
  },
};

/** @param hex what the format yields is pairs of hexadecimal digits */
function sendFormat(hex: boolean): Shape<TcpCheckStep> {
  return {
    usage: '<format> [comment <text>]',
    read(args) {
      const format = readFormat(args.take('<format>'), args.scope, 'value');
      skipComment(args);
      return {kind: 'send-format', format, hex};
    },
  };
}

export const tcpCheckSendFormat = sendFormat(false);
export const tcpCheckSendBinaryFormat = sendFormat(true);

/** `option smtpchk [HELO | EHLO] [<domain>]`. */
export const smtpCheck: Shape<readonly TcpCheckStep[]> = {
  usage: '[HELO | EHLO <domain>]',
  read(args) {
    if (args.atEnd) return smtpSteps('HELO', 'localhost');
    const hello = args.take('HELO');
    if (hello.text !== 'HELO' && hello.text !== 'EHLO') throw args.invalid(hello, 'HELO or EHLO is expected');
    return smtpSteps(hello.text, args.peek() === undefined ? 'localhost' : args.take('<domain>').text);
  },
};
