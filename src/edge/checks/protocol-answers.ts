/** Answers of protocols that say more than a pattern could tell: of MySQL, and of a directory. */
import type {AnswerStep} from '../../config/health.ts';
import type {CheckFinding} from './check-result.ts';

export interface Verdict {
  readonly hasPassed: boolean;
  readonly finding: CheckFinding;
}

/** @param ended no more will come. Returns null: more is needed */
export function judgeAnswer(step: AnswerStep, received: Buffer, ended: boolean): Verdict | null {
  switch (step.kind) {
    case 'mysql-packet':
      return mysqlPacket(received, step) ?? (ended ? invalid('') : null);
    case 'ldap-bind':
      return ldapBind(received) ?? (ended ? invalid('') : null);
    default:
      return step satisfies never;
  }
}

function passed(info: string): Verdict {
  return {hasPassed: true, finding: {status: 'L7OK', code: 0, info}};
}

function invalid(info: string): Verdict {
  return {hasPassed: false, finding: {status: 'L7RSP', code: 0, info}};
}

function refused(code: number, info: string): Verdict {
  return {hasPassed: false, finding: {status: 'L7STS', code, info}};
}

const mysqlHeaderBytes = 4;
const mysqlError = 0xff;

function mysqlPacket(received: Buffer, {index, isLast}: Extract<AnswerStep, {kind: 'mysql-packet'}>): Verdict | null {
  let at = 0;
  for (let packet = 0; ; packet++) {
    if (received.length < at + mysqlHeaderBytes) return null;
    const end = at + mysqlHeaderBytes + received.readUIntLE(at, 3);
    if (received.length < end) return null;
    if (packet === index) break;
    at = end;
  }
  const content = received.subarray(at + mysqlHeaderBytes);
  if (content[0] === mysqlError && content.length >= 3) return refused(content.readUInt16LE(1), content.toString('latin1', 3));
  return passed(isLast ? mysqlVersion(received) : '');
}

/** After the number of the protocol, until a zero. */
function mysqlVersion(greeting: Buffer): string {
  const start = mysqlHeaderBytes + 1;
  const end = greeting.indexOf(0, start);
  return greeting.toString('latin1', start, end === -1 ? undefined : end);
}

const notLdap = 'Not LDAPv3 protocol';
/** Message 1, the answer to a bind. */
const bindResponse = Buffer.from([0x02, 0x01, 0x01, 0x61]);
const enumerated = Buffer.from([0x0a, 0x01]);

function ldapBind(received: Buffer): Verdict | null {
  const first = received[1];
  if (first === undefined) return null;
  // Active Directory tells a length in four bytes that one could hold; nobody tells it in other ways.
  const sizeBytes = first & 0x80 ? first & 0x7f : 0;
  if (sizeBytes !== 0 && sizeBytes !== 2 && sizeBytes !== 4) return invalid(notLdap);
  if (received.length < 2 + sizeBytes) return null;
  const length = sizeBytes === 0 ? first : received.readUIntBE(2, sizeBytes);
  let at = 2 + sizeBytes;
  if (received.length < at + length) return null;
  if (!bindResponse.equals(received.subarray(at, at + bindResponse.length))) return invalid(notLdap);
  at += bindResponse.length;
  const inner = received[at] ?? 0;
  at += 1 + (inner & 0x80 ? inner & 0x7f : 0);
  if (!enumerated.equals(received.subarray(at, at + enumerated.length))) return invalid(notLdap);
  const code = received[at + enumerated.length];
  if (code === undefined) return null;
  return code === 0 ? passed('Success') : refused(code, 'See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9');
}
