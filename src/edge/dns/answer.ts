/** Writes answers. Owners that end as the question does point into it, so the case of the question is kept (RFC 1035, 4.1.4). */
import {isAtOrBelow, type NameKey} from './name.ts';
import {ednsUdpBytes, flag, headerBytes, maxMessageBytes, optBytes, plainUdpBytes, type Rcode, rcode, recordType} from './protocol.ts';
import type {Query} from './query.ts';

/** Records of one owner and type, each without its owner: type, class, TTL, length, data. */
export interface RecordSet {
  readonly owner: NameKey;
  readonly bodies: readonly Buffer[];
}

export interface Answer {
  readonly rcode: Rcode;
  readonly authoritative: boolean;
  readonly answers: readonly RecordSet[];
  readonly authority: readonly RecordSet[];
  readonly additional: readonly RecordSet[];
}

export function bareAnswer(code: Rcode): Answer {
  return {rcode: code, authoritative: false, answers: [], authority: [], additional: []};
}

const scratch = Buffer.alloc(maxMessageBytes);

/** The most that may be sent to who asked, over UDP. */
export function udpLimitBytes({edns}: Query): number {
  if (edns === null) return plainUdpBytes;
  return Math.min(Math.max(edns.payloadBytes, plainUdpBytes), ednsUdpBytes);
}

/** The whole answer, or one with the truncation bit and no records when it has more than `limitBytes`. */
export function writeAnswer(query: Query, answer: Answer, limitBytes: number): Buffer {
  const room = limitBytes - (query.edns === null ? 0 : optBytes);
  let at = writeQuestion(query);
  const counts = [0, 0, 0];
  for (const [section, sets] of [answer.answers, answer.authority, answer.additional].entries()) {
    for (const {owner, bodies} of sets) {
      for (const body of bodies) {
        // An owner has at most 255 bytes; what is full is known before anything is written beyond the end.
        if (at + 255 + body.length > maxMessageBytes) return writeTruncated(query, answer.authoritative);
        at = writeOwner(at, owner, query);
        at += body.copy(scratch, at);
        counts[section] = (counts[section] ?? 0) + 1;
      }
    }
  }
  if (at > room) return writeTruncated(query, answer.authoritative);
  return finish(query, at, {rcode: answer.rcode, bits: answer.authoritative ? flag.authoritative : 0, counts});
}

/** Sends who asked to TCP. */
export function writeTruncated(query: Query, authoritative: boolean): Buffer {
  const bits = flag.truncated | (authoritative ? flag.authoritative : 0);
  return finish(query, writeQuestion(query), {rcode: rcode.noError, bits, counts: [0, 0, 0]});
}

/** For a message whose question could not be read: a header alone, with its identifier and operation. */
export function writeHeaderOnly(message: Uint8Array, code: Rcode): Buffer {
  const answer = Buffer.alloc(headerBytes);
  answer[0] = message[0] ?? 0;
  answer[1] = message[1] ?? 0;
  answer[2] = 0x80 | ((message[2] ?? 0) & 0x79);
  answer[3] = code;
  return answer;
}

function writeQuestion({message, questionEnd}: Query): number {
  for (let at = headerBytes; at < questionEnd; at++) scratch[at] = message[at] ?? 0;
  return questionEnd;
}

function writeOwner(at: number, owner: NameKey, query: Query): number {
  if (owner === query.name) return scratch.writeUInt16BE(0xc000 | headerBytes, at);
  if (isAtOrBelow(query.name, owner)) return scratch.writeUInt16BE(0xc000 | (headerBytes + query.name.length - owner.length), at);
  return at + scratch.write(owner, at, 'latin1');
}

function finish(query: Query, end: number, {rcode: code, bits, counts}: {rcode: Rcode; bits: number; counts: readonly number[]}): Buffer {
  const {edns} = query;
  const [answers = 0, authority = 0, additional = 0] = counts;
  scratch.writeUInt16BE(query.id, 0);
  scratch.writeUInt16BE(flag.response | bits | (query.flags & (flag.recursionDesired | flag.checkingDisabled)) | (code & 0xf), 2);
  scratch.writeUInt16BE(1, 4);
  scratch.writeUInt16BE(answers, 6);
  scratch.writeUInt16BE(authority, 8);
  scratch.writeUInt16BE(additional + (edns === null ? 0 : 1), 10);
  let at = end;
  if (edns !== null) {
    at = scratch.writeUInt8(0, at);
    at = scratch.writeUInt16BE(recordType.OPT, at);
    at = scratch.writeUInt16BE(ednsUdpBytes, at);
    at = scratch.writeUInt8(code >> 4, at);
    at = scratch.writeUInt8(0, at);
    at = scratch.writeUInt16BE(edns.dnssecOk ? 0x8000 : 0, at);
    at = scratch.writeUInt16BE(0, at);
  }
  const answer = Buffer.allocUnsafe(at);
  scratch.copy(answer, 0, 0, at);
  return answer;
}
