/**
 * Reads questions, strictly: whoever answers malformed messages, or answers, is made to talk with others.
 * RFC 1035 (form), RFC 6891 (EDNS0), RFC 9619 (one question).
 */
import {type NameKey, readPlainName, showName, skipName} from './name.ts';
import {classIn, flag, headerBytes, optBytes, type Rcode, rcode, recordType, typeName} from './protocol.ts';

export interface Edns {
  /** What the other side can receive. */
  readonly payloadBytes: number;
  readonly version: number;
  readonly dnssecOk: boolean;
}

export interface Query {
  readonly id: number;
  /** As sent: the second 16 bits of the message. */
  readonly flags: number;
  readonly name: NameKey;
  readonly type: number;
  readonly edns: Edns | null;
  /** The question is in these bytes of the message, from `headerBytes` on: in the case in which it was written. */
  readonly message: Uint8Array;
  readonly questionEnd: number;
}

export type ReadQuery =
  | {readonly kind: 'query'; readonly query: Query}
  /** Not a question: an answer, or too short to be told so. */
  | {readonly kind: 'drop'}
  /** To be refused with a header alone, or with the question when that could be read. */
  | {readonly kind: 'refuse'; readonly rcode: Rcode; readonly query: Query | null};

const drop: ReadQuery = {kind: 'drop'};

export function readQuery(message: Uint8Array): ReadQuery {
  if (message.length < headerBytes) return drop;
  const flags = word(message, 2);
  if ((flags & flag.response) !== 0) return drop;
  if ((flags & 0x7800) !== 0) return {kind: 'refuse', rcode: rcode.notImp, query: null};
  if (word(message, 4) !== 1) return {kind: 'refuse', rcode: rcode.formErr, query: null};
  const name = readPlainName(message, headerBytes);
  if (name === null || name.end + 4 > message.length) return {kind: 'refuse', rcode: rcode.formErr, query: null};
  const questionEnd = name.end + 4;
  const edns = readRecords(message, questionEnd, word(message, 6) + word(message, 8) + word(message, 10));
  if (edns === 'malformed') return {kind: 'refuse', rcode: rcode.formErr, query: null};
  const query: Query = {id: word(message, 0), flags, name: name.key, type: word(message, name.end), edns, message, questionEnd};
  if (edns !== null && edns.version !== 0) return {kind: 'refuse', rcode: rcode.badVers, query};
  if (word(message, name.end + 2) !== classIn) return {kind: 'refuse', rcode: rcode.refused, query};
  if (query.type >= recordType.firstMeta && query.type <= recordType.lastMeta) return {kind: 'refuse', rcode: rcode.refused, query};
  if (query.type === recordType.OPT || query.type === 0) return {kind: 'refuse', rcode: rcode.formErr, query};
  return {kind: 'query', query};
}

/** What follows the question: only an OPT record means something; there may be one, and it belongs to the root. */
function readRecords(message: Uint8Array, start: number, count: number): Edns | null | 'malformed' {
  let at = start;
  let edns: Edns | null = null;
  for (let index = 0; index < count; index++) {
    const end = skipName(message, at);
    if (end < 0 || end + 10 > message.length) return 'malformed';
    const dataEnd = end + 10 + word(message, end + 8);
    if (dataEnd > message.length) return 'malformed';
    if (word(message, end) === recordType.OPT) {
      if (edns !== null || end !== at + 1 || !isOptionList(message, at + optBytes, dataEnd)) return 'malformed';
      edns = {payloadBytes: word(message, end + 2), version: message[end + 5] ?? 0, dnssecOk: ((message[end + 6] ?? 0) & 0x80) !== 0};
    }
    at = dataEnd;
  }
  return at === message.length ? edns : 'malformed';
}

/** Options that nobody knows are passed over, but they must fit. */
function isOptionList(message: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at + 4 <= end) at += 4 + word(message, at + 2);
  return at === end;
}

export function word(message: Uint8Array, at: number): number {
  return ((message[at] ?? 0) << 8) | (message[at + 1] ?? 0);
}

/**
 * For the fetches `dns_qname` and `dns_qtype`: what a datagram asks for, the name in lower case without the dot at the end.
 * @returns null for what is no question
 */
export function parseDnsQuestion(payload: Uint8Array): {readonly name: string; readonly type: string} | null {
  if (payload.length < headerBytes || (word(payload, 2) & flag.response) !== 0 || word(payload, 4) !== 1) return null;
  const name = readPlainName(payload, headerBytes);
  if (name === null || name.end + 4 > payload.length) return null;
  return {name: showName(name.key), type: typeName(word(payload, name.end))};
}
