/** Answers that are made here: HAProxy's pages for errors, those of files, and what rules compose. */
import type {ReplyAction} from '../../config/rules.ts';
import {CodedError} from '../../core/errors.ts';
import type {SampleContext} from '../samples/context.ts';
import type {Compilers} from './compilers.ts';
import {fieldValue, type Header} from './message.ts';

export interface LocalReply {
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly Header[];
  readonly body: Buffer;
  /** True: the connection is closed without a word, as an empty error file (`/dev/null`) says. */
  readonly isSilent?: boolean;
  /** True: it tells that the client may not have what it asks for, and is counted as a rule's refusal. */
  readonly isDenial?: boolean;
}

interface Page {
  readonly reason: string;
  readonly title: string;
  readonly text: string;
}

const unauthorized = 'You need a valid user and password to access this content.';

function page(reason: string, text: string, title = reason): Page {
  return {reason, title, text};
}

/** The wording of HAProxy 2.6. */
const pages: Readonly<Record<number, Page>> = {
  200: page('OK', 'Service ready.'),
  400: page('Bad request', 'Your browser sent an invalid request.'),
  401: page('Unauthorized', unauthorized),
  403: page('Forbidden', 'Request forbidden by administrative rules.'),
  404: page('Not Found', 'The resource could not be found.'),
  405: page('Method Not Allowed', 'A request was made of a resource using a request method not supported by that resource'),
  407: page('Unauthorized', unauthorized),
  408: page('Request Time-out', "Your browser didn't send a complete request in time."),
  410: page('Gone', 'The resource is no longer available and will not be available again.'),
  413: page('Payload Too Large', 'The request entity exceeds the maximum allowed.'),
  414: page('URI Too Long', 'The request line exceeds the maximum allowed.'),
  421: page('Misdirected Request', 'Request sent to a non-authoritative server.'),
  422: page('Unprocessable Content', 'The server cannot process the contained instructions.'),
  425: page('Too Early', 'Your browser sent early data.'),
  429: page('Too Many Requests', 'You have sent too many requests in a given amount of time.'),
  431: page('Request Header Fields Too Large', 'The header fields of the request exceed the maximum allowed.'),
  500: page('Internal Server Error', 'An internal server error occurred.'),
  501: page('Not Implemented', '.The server does not support the functionality required to fulfill the request.'),
  502: page('Bad Gateway', 'The server returned an invalid or incomplete response.'),
  503: page('Service Unavailable', 'No server is available to handle this request.'),
  504: page('Gateway Time-out', "The server didn't respond in time."),
  505: page('HTTP Version Not Supported', 'The version of HTTP is not supported.'),
};

const otherReasons: Readonly<Record<number, string>> = {
  100: 'Continue',
  101: 'Switching Protocols',
  102: 'Processing',
  103: 'Early Hints',
  201: 'Created',
  202: 'Accepted',
  203: 'Non-Authoritative Information',
  204: 'No Content',
  205: 'Reset Content',
  206: 'Partial Content',
  300: 'Multiple Choices',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  304: 'Not Modified',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  402: 'Payment Required',
  406: 'Not Acceptable',
  409: 'Conflict',
  411: 'Length Required',
  412: 'Precondition Failed',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  417: 'Expectation Failed',
  418: "I'm a teapot",
  423: 'Locked',
  424: 'Failed Dependency',
  426: 'Upgrade Required',
  428: 'Precondition Required',
  451: 'Unavailable For Legal Reasons',
  507: 'Insufficient Storage',
  511: 'Network Authentication Required',
};

export function reasonOf(status: number): string {
  return pages[status]?.reason ?? otherReasons[status] ?? '';
}

const pageHeaders: readonly Header[] = [
  ['cache-control', 'no-cache'],
  ['content-type', 'text/html'],
];

/** HAProxy's own page. A status without one has an empty body. */
export function builtInReply(status: number): LocalReply {
  const found = pages[status];
  if (found === undefined) return {status, reason: reasonOf(status), headers: [], body: Buffer.alloc(0)};
  const body = `<html><body><h1>${status} ${found.title}</h1>\n${found.text}\n</body></html>\n`;
  return {status, reason: found.reason, headers: pageHeaders, body: Buffer.from(body)};
}

/**
 * A whole answer as files of `errorfile` hold it; lines may end in LF alone.
 * @throws CodedError ERR_BAD_ERROR_FILE
 */
export function parseErrorFile(path: string, content: Buffer, status: number): LocalReply {
  if (content.length === 0) return {status, reason: reasonOf(status), headers: [], body: content, isSilent: true};
  const text = content.toString('latin1');
  const blank = /\r?\n\r?\n/.exec(text);
  const [first = '', ...lines] = text.slice(0, blank?.index ?? text.length).split(/\r?\n/);
  const line = /^HTTP\/1\.[01] (\d{3})(?: (.*))?$/.exec(first);
  if (line === null) throw new CodedError('ERR_BAD_ERROR_FILE', `Cannot use error file "${path}": it does not start with a status line`, {source: 'host'});
  const headers: Header[] = [];
  for (const field of lines) {
    const colon = field.indexOf(':');
    const name = field.slice(0, colon).trim().toLowerCase();
    if (colon > 0 && !['content-length', 'transfer-encoding', 'connection'].includes(name)) headers.push([name, field.slice(colon + 1).trim()]);
  }
  const body = blank === null ? Buffer.alloc(0) : content.subarray(blank.index + blank[0].length);
  return {status: Number(line[1]), reason: line[2] ?? '', headers, body};
}

/** What makes an answer for a request. */
export type ReplyMaker = (context: SampleContext, errorPage: (status: number) => LocalReply) => LocalReply;

/** @param readFile reads a file of the configuration, when it is compiled */
export function compileReply(action: ReplyAction, compilers: Compilers, readFile: (path: string) => Buffer): ReplyMaker {
  const {status, body} = action;
  const fields = action.headers.map(({name, value}) => ({name: name.toLowerCase(), value: compilers.format(value, 'message')}));
  // One that turns out to be empty is left out, as in HAProxy.
  const withFields = (reply: LocalReply, context: SampleContext): LocalReply => {
    if (fields.length === 0) return reply;
    const made = fields.map(({name, value}): Header => [name, fieldValue(value(context))]).filter(([, value]) => value !== '');
    return {...reply, headers: [...reply.headers, ...made]};
  };
  const typed: readonly Header[] = action.contentType === null ? [] : [['content-type', action.contentType]];
  const fixed = (content: Buffer): ReplyMaker => {
    const reply: LocalReply = {status, reason: reasonOf(status), headers: content.length === 0 ? [] : typed, body: content};
    return (context) => withFields(reply, context);
  };
  switch (body.kind) {
    case 'none':
      return fixed(Buffer.alloc(0));
    case 'text':
      return fixed(Buffer.from(body.text));
    case 'default':
      return (context, errorPage) => withFields(errorPage(status), context);
    case 'errorfiles':
      throw new CodedError('ERR_ASSERTION', `The pages of "${body.section}" were not looked up`, {source: 'bug'});
    case 'errorfile': {
      const reply = parseErrorFile(body.path, readFile(body.path), status);
      return (context) => withFields(reply, context);
    }
    case 'format': {
      const text = compilers.format(body.format, 'message');
      return (context) => withFields({status, reason: reasonOf(status), headers: typed, body: Buffer.from(text(context), 'latin1')}, context);
    }
    default:
      return body satisfies never;
  }
}
