/**
 * The head of an HTTP/1 message (RFC 9112): start line and fields. Strict, because what two parsers read differently is how requests are
 * smuggled: lines end in CRLF, no folded fields, no space before a colon, no control characters.
 */
import {CodedError} from '../../core/errors.ts';
import type {Header, RequestHead, ResponseHead} from './message.ts';

/** As HAProxy's `tune.bufsize` less `tune.maxrewrite`. */
export const maxHeadBytes = 15_360;
const maxRequestLineBytes = 8192;
/** As HAProxy's `tune.http.maxhdr`. */
const maxHeaders = 101;
const cr = 13;
const lf = 10;

/** A message that must not be understood. `status` is what a client gets for it. */
export class HeadError extends CodedError<'ERR_BAD_MESSAGE'> {
  readonly status: number;

  constructor(reason: string, status = 400) {
    super('ERR_BAD_MESSAGE', `Cannot read HTTP message: ${reason}`, {source: 'client'});
    this.status = status;
  }
}

/**
 * Where the head that starts at `from` ends (after its empty line), or -1 when more bytes are needed.
 * @throws HeadError for a line that ends in LF alone, and for a head that is too long
 */
export function findHeadEnd(bytes: Buffer, from: number): number {
  const end = bytes.indexOf('\r\n\r\n', from, 'latin1');
  if (end !== -1 && end - from <= maxHeadBytes) return end + 4;
  for (let at = bytes.indexOf(lf, from); at !== -1; at = bytes.indexOf(lf, at + 1)) {
    if (at === from || bytes[at - 1] !== cr) throw new HeadError('a line ends in LF without CR');
  }
  if (end === -1 && bytes.length - from <= maxHeadBytes) return -1;
  const line = bytes.indexOf(lf, from);
  throw line === -1 || line - from > maxRequestLineBytes ? new HeadError('the request line is too long', 414) : new HeadError('the head is too long', 431);
}

const misplaced = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n/;
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const targetForm = /^[\x21-\x7e]+$/;
const requestVersion = /^HTTP\/(\d)\.(\d)$/;
const statusLine = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?$/;

/** Names that were seen before, in lower case; null: no name. Clients choose them, so there is a bound. */
const knownNames = new Map<string, string | null>();
const maxKnownNames = 1000;

function fieldName(text: string): string {
  let name = knownNames.get(text);
  if (name === undefined) {
    name = token.test(text) ? text.toLowerCase() : null;
    if (knownNames.size < maxKnownNames && text.length <= 64) knownNames.set(text, name);
  }
  if (name === null) throw new HeadError(/\s$/.test(text) ? 'a space before a colon' : 'a field without a valid name');
  return name;
}

function isBlank(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code === 32 || code === 9;
}

/** Reads fields line by line from `at` up to an empty line or the end of `text`. */
export function parseFields(text: string, at: number): Header[] {
  const headers: Header[] = [];
  for (let start = at; start < text.length; ) {
    let end = text.indexOf('\r\n', start);
    if (end === -1) end = text.length;
    if (end === start) break;
    if (isBlank(text, start)) throw new HeadError('a folded field');
    if (headers.length >= maxHeaders) throw new HeadError(`more than ${maxHeaders} fields`, 431);
    const colon = text.indexOf(':', start);
    if (colon === -1 || colon >= end) throw new HeadError('a field without a colon');
    let first = colon + 1;
    let last = end;
    while (first < last && isBlank(text, first)) first++;
    while (last > first && isBlank(text, last - 1)) last--;
    headers.push([fieldName(text.slice(start, colon)), text.slice(first, last)]);
    start = end + 2;
  }
  return headers;
}

function headText(bytes: Buffer, from: number, end: number): string {
  // Without the empty line, and the line end before it.
  const text = bytes.toString('latin1', from, end - 4);
  if (misplaced.test(text)) throw new HeadError('a control character');
  return text;
}

/** @throws HeadError */
export function parseRequestHead(bytes: Buffer, from: number, end: number): RequestHead {
  const text = headText(bytes, from, end);
  let lineEnd = text.indexOf('\r\n');
  if (lineEnd === -1) lineEnd = text.length;
  if (lineEnd > maxRequestLineBytes) throw new HeadError('the request line is too long', 414);
  const afterMethod = text.indexOf(' ');
  const afterTarget = text.indexOf(' ', afterMethod + 1);
  if (afterMethod <= 0 || afterTarget === -1 || afterTarget > lineEnd) throw new HeadError('a malformed request line');
  const method = text.slice(0, afterMethod);
  const uri = text.slice(afterMethod + 1, afterTarget);
  const version = text.slice(afterTarget + 1, lineEnd);
  if (!token.test(method) || !targetForm.test(uri)) throw new HeadError('a malformed request line');
  if (version !== 'HTTP/1.1' && version !== 'HTTP/1.0') {
    const known = requestVersion.exec(version);
    throw known === null || known[1] === '1' ? new HeadError('a malformed request line') : new HeadError('an unknown version', 505);
  }
  return {method, uri, version: version === 'HTTP/1.1' ? '1.1' : '1.0', headers: parseFields(text, lineEnd + 2)};
}

/** @throws HeadError */
export function parseResponseHead(bytes: Buffer, from: number, end: number): ResponseHead {
  const text = headText(bytes, from, end);
  let lineEnd = text.indexOf('\r\n');
  if (lineEnd === -1) lineEnd = text.length;
  const line = statusLine.exec(text.slice(0, lineEnd));
  if (line === null) throw new HeadError('a malformed status line');
  return {status: Number(line[2]), reason: line[3] ?? '', version: line[1] === '1' ? '1.1' : '1.0', headers: parseFields(text, lineEnd + 2)};
}
