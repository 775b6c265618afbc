/** Lines of proxies about HTTP that are neither rules nor about servers: forwarded addresses, error pages, captures, compression. */
import {isIP} from 'node:net';
import {readReply, takeFile} from './actions/reply.ts';
import {type Arguments, ConfigError} from './arguments.ts';
import {parseIpPattern} from './expression/ip-pattern.ts';
import {resolveInScope} from './expression/sample-expression.ts';
import type {AddressHeader, Compression, CookieCapture} from './proxy-value.ts';
import type {ReplyAction} from './rules.ts';
import {type CaptureSlot, refer, takeSlot} from './scope.ts';
import type {Placed, Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';
import {parseInteger} from './units.ts';

/** `option forwardfor` and `option originalto`. */
export function addressHeader(fallback: string): Shape<AddressHeader> {
  return {
    usage: '[except <network>] [header <name>] [if-none]',
    read(args) {
      let value: AddressHeader = {header: fallback, except: null, ifNone: false};
      while (!args.atEnd) {
        const word = args.take('<option>');
        if (word.text === 'header') value = {...value, header: args.take('<name>').text};
        else if (word.text === 'if-none') value = {...value, ifNone: true};
        else if (word.text === 'except') value = {...value, except: takeNetwork(args)};
        else throw args.invalid(word, `except, header and if-none are possible${didYouMean(word.text, ['except', 'header', 'if-none'])}`);
      }
      return value;
    },
  };
}

function takeNetwork(args: Arguments): string {
  const word = args.take('<network>');
  const pattern = parseIpPattern(word.text);
  if (pattern === null) throw args.invalid(word, 'an address or a network is expected');
  return isIP(word.text) === 0 ? pattern : word.text;
}

/** Statuses that HAProxy has pages for. */
const errorStatuses = [200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 421, 422, 425, 429, 500, 501, 502, 503, 504];

function takeErrorStatus(args: Arguments): number {
  const word = args.take('<status>');
  const status = Number(word.text);
  if (!errorStatuses.includes(status)) throw args.invalid(word, `one of ${errorStatuses.join(', ')} is expected`);
  return status;
}

export interface ErrorPage {
  readonly status: number;
  readonly path: string;
}

/** A file that holds a whole answer, head and body. */
export const errorFile: Shape<ErrorPage> = {
  usage: '<status> <file>',
  read(args) {
    const status = takeErrorStatus(args);
    const word = args.peek();
    const {path, text} = takeFile(args);
    // As with HAProxy an empty file sends nothing; anything else must be an answer.
    if (text !== '' && word !== undefined && !/^HTTP\/\d\.\d \d{3}/.test(text))
      throw args.invalid(word, 'the file does not begin with the status line of an answer');
    return {status, path};
  },
};

export interface ErrorFilesImport {
  readonly section: Placed;
  /** Empty: all. */
  readonly statuses: readonly number[];
}

/** `errorfiles <section> [<status>...]`: pages of a section `http-errors`. */
export const errorFiles: Shape<ErrorFilesImport> = {
  usage: '<http-errors> [<status>...]',
  read(args) {
    const section = args.take('<http-errors>');
    refer(args.scope, 'http-errors', section);
    const statuses: number[] = [];
    while (!args.atEnd) statuses.push(takeErrorStatus(args));
    return {section, statuses};
  },
};

export const errorLocation: Shape<{readonly status: number; readonly url: string}> = {
  usage: '<status> <url>',
  read: (args) => ({status: takeErrorStatus(args), url: args.take('<url>').text}),
};

/** `http-error status <status> [...]`. */
export const httpError: Shape<ReplyAction> = {
  usage:
    'status <status> [content-type <type>] [default-errorfiles | errorfile <file> | errorfiles <http-errors> | file <file> | lf-file <file> | string <text> | lf-string <format>] [hdr <name> <format>]...',
  read(args) {
    if (args.peek()?.text !== 'status') throw new ConfigError(`'${args.keyword}' expects 'status' and a number`, args.position, args.keyword);
    return readReply(args, {status: 0, body: 'none'});
  },
};

/** `capture request header <name> len <length>`, `capture response header ...`. */
export function captureHeader(of: 'request' | 'response'): Shape<CaptureSlot> {
  return {
    usage: 'header <name> len <length>',
    read(args) {
      expectWord(args, 'header');
      const header = args.take('<name>').text;
      const length = takeLength(args);
      const slot: CaptureSlot = {header, length, of};
      takeSlot(args.scope, slot);
      return slot;
    },
  };
}

export const captureCookie: Shape<CookieCapture> = {
  usage: '<name> len <length>',
  read: (args) => ({prefix: args.take('<name>').text, length: takeLength(args)}),
};

/** `declare capture request len <length>`. */
export const declareCapture: Shape<CaptureSlot> = {
  usage: 'request | response len <length>',
  read(args) {
    const word = args.take('request or response');
    if (word.text !== 'request' && word.text !== 'response') throw args.invalid(word, 'request or response is expected');
    const slot: CaptureSlot = {header: null, length: takeLength(args), of: word.text};
    takeSlot(args.scope, slot);
    return slot;
  },
};

function expectWord(args: Arguments, text: string): void {
  const word = args.take(text);
  if (word.text !== text) throw args.invalid(word, `'${text}' is expected`);
}

function takeLength(args: Arguments): number {
  expectWord(args, 'len');
  return args.takeParsed('<length>', (text) => parseInteger(text, {min: 1, max: 65_535}));
}

const algorithms = ['identity', 'gzip', 'deflate', 'raw-deflate'] as const;

export const compressionAlgorithms: Shape<Compression['algorithms']> = {
  usage: 'identity | gzip | deflate | raw-deflate ...',
  read(args) {
    const found: Compression['algorithms'][number][] = [];
    do {
      const word = args.take('<algorithm>');
      const algorithm = algorithms.find((known) => known === word.text);
      if (algorithm === undefined) throw args.invalid(word, `${algorithms.join(', ')} are possible${didYouMean(word.text, algorithms)}`);
      found.push(algorithm);
    } while (!args.atEnd);
    return found;
  },
};

export const contentTypes: Shape<readonly string[]> = {
  usage: '<type>...',
  read: (args) => [args.take('<type>'), ...args.takeRest()].map(({text}) => text.toLowerCase()),
};

/** The events after which HAProxy may send a request again. */
const retryEvents =
  `none conn-failure empty-response junk-response response-timeout 0rtt-rejected all-retryable-errors 401 403 404 408 425 429 500 501 502 503 504`.split(' ');

export const retryOn: Shape<readonly string[]> = {
  usage: '<event>...',
  read(args) {
    const words = [args.take('<event>'), ...args.takeRest()];
    for (const word of words) {
      if (!retryEvents.includes(word.text)) throw args.invalid(word, `unknown event${didYouMean(word.text, retryEvents)}`);
    }
    if (words.length > 1 && words.some(({text}) => text === 'none')) throw new ConfigError("'none' cannot go with other events", args.position, args.keyword);
    return words.map(({text}) => text);
  },
};

/** A path that is relative to where the configuration is. */
export const scopedPath: Shape<string> = {usage: '<path>', read: (args) => resolveInScope(args.take('<path>'), args.scope)};
