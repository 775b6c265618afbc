/** Reads the records of an answer. It comes from outside: every length is checked, and names are followed backwards only. */
import {type NameKey, readName} from './name.ts';
import {headerBytes, recordType} from './protocol.ts';
import {word} from './query.ts';

export interface AnswerRecord {
  readonly owner: NameKey;
  readonly type: number;
  readonly ttlSeconds: number;
  /** Where its data is in the message. */
  readonly start: number;
  readonly end: number;
}

export interface ReadAnswer {
  readonly rcode: number;
  readonly answers: readonly AnswerRecord[];
  readonly additional: readonly AnswerRecord[];
}

/** More records than a server can have addresses; the rest of an answer is not read. */
const maxRecords = 4096;
const maxAliases = 16;

/**
 * @param questionEnd where the question ends, which was compared already
 * @returns null when it is malformed
 */
export function readAnswer(message: Uint8Array, questionEnd: number): ReadAnswer | null {
  const sections: [AnswerRecord[], AnswerRecord[], AnswerRecord[]] = [[], [], []];
  let at = message.length === headerBytes ? headerBytes : questionEnd;
  let left = maxRecords;
  for (const [index, section] of sections.entries()) {
    for (let count = word(message, 6 + 2 * index); count > 0 && left > 0; count--, left--) {
      const owner = readName(message, at);
      if (owner === null || owner.end + 10 > message.length) return null;
      const start = owner.end + 10;
      const end = start + word(message, owner.end + 8);
      if (end > message.length) return null;
      const ttlSeconds = word(message, owner.end + 4) * 0x10000 + word(message, owner.end + 6);
      section.push({owner: owner.key, type: word(message, owner.end), ttlSeconds, start, end});
      at = end;
    }
  }
  const [answers, , additional] = sections;
  return {rcode: word(message, 2) & 0xf, answers, additional};
}

/** The records of a type that a name has, through its aliases in the answer. */
export function recordsOf(message: Uint8Array, answer: ReadAnswer, name: NameKey, type: number): readonly AnswerRecord[] {
  let owner = name;
  for (let alias = 0; alias <= maxAliases; alias++) {
    const found = answer.answers.filter((record) => record.owner === owner && record.type === type);
    if (found.length > 0) return found;
    const cname = answer.answers.find((record) => record.owner === owner && record.type === recordType.CNAME);
    const target = cname === undefined ? null : readName(message, cname.start);
    if (target === null) return [];
    owner = target.key;
  }
  return [];
}

/** The address in an A or AAAA record; null when its length is wrong. */
export function readAddress(message: Uint8Array, {type, start, end}: AnswerRecord): string | null {
  if (type === recordType.A && end - start === 4) return message.subarray(start, end).join('.');
  if (type !== recordType.AAAA || end - start !== 16) return null;
  const groups = Array.from({length: 8}, (_, index) => word(message, start + 2 * index).toString(16)).join(':');
  // Brackets make a URL's host of it, which is written in canonical form (RFC 5952).
  return new URL(`http://[${groups}]`).hostname.slice(1, -1);
}

export interface ServiceRecord {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly target: NameKey;
}

/** RFC 2782; null when it is malformed. */
export function readService(message: Uint8Array, {start, end}: AnswerRecord): ServiceRecord | null {
  const target = end - start < 7 ? null : readName(message, start + 6);
  if (target?.end !== end) return null;
  return {priority: word(message, start), weight: word(message, start + 2), port: word(message, start + 4), target: target.key};
}
