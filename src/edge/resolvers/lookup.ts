/** One question to all name servers of a section, as HAProxy asks: at once, the first good answer counts, and again when none came in time. */
import type {HoldKind, ResolversConfig} from '../../config/resolvers.ts';
import type {Clock} from '../../core/clock.ts';
import {errorCode} from '../../core/errors.ts';
import {ask, type Nameserver} from '../dns/ask.ts';
import type {NameKey} from '../dns/name.ts';
import {classIn, flag, headerBytes, optBytes, plainUdpBytes, rcode, recordType} from '../dns/protocol.ts';
import {type ReadAnswer, readAnswer} from '../dns/read-answer.ts';

/** What an answer was, as `hold` names it. */
export type LookupFailure = Exclude<HoldKind, 'valid' | 'obsolete'>;

export type LookupResult = {readonly status: 'valid'; readonly message: Buffer; readonly answer: ReadAnswer} | {readonly status: LookupFailure};

export interface LookupOptions {
  readonly nameservers: readonly Nameserver[];
  readonly config: Pick<ResolversConfig, 'resolveRetries' | 'timeouts' | 'acceptedPayloadBytes'>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** A name that exists without such records is `valid` too. Never rejects. */
export async function lookUp(name: NameKey, type: number, options: LookupOptions): Promise<LookupResult> {
  const {config, signal} = options;
  const question = writeQuestion(name, type, config.acceptedPayloadBytes);
  let last: LookupResult = {status: 'timeout'};
  for (let attempt = 0; attempt < Math.max(1, config.resolveRetries) && !signal.aborted; attempt++) {
    last = await askAll(question, name.length + headerBytes + 4, options);
    if (last.status !== 'timeout') return last;
  }
  return last;
}

/** The first good answer; without one, the worst that can be said for sure. */
async function askAll(question: Buffer, questionEnd: number, {nameservers, config, clock, signal}: LookupOptions): Promise<LookupResult> {
  const failures: LookupFailure[] = [];
  // The others are not waited for when one has answered.
  const done = new AbortController();
  const asking = nameservers.map(async (server) => {
    const result = await askOne(server, question, questionEnd, {timeoutMs: config.timeouts.retryMs, clock, signal: AbortSignal.any([signal, done.signal])});
    if (result.status === 'valid') return result;
    failures.push(result.status);
    throw new Error(result.status);
  });
  try {
    return await Promise.any(asking);
  } catch {
    // All have failed, and `failures` tells how.
    return {status: (['nx', 'refused', 'other'] as const).find((status) => failures.includes(status)) ?? 'timeout'};
  } finally {
    done.abort();
  }
}

async function askOne(server: Nameserver, question: Buffer, questionEnd: number, options: Parameters<typeof ask>[3]): Promise<LookupResult> {
  try {
    const message = await ask(server, question, questionEnd, options);
    const answer = readAnswer(message, questionEnd);
    if (answer === null) return {status: 'other'};
    if (answer.rcode === rcode.noError) return {status: 'valid', message, answer};
    if (answer.rcode === rcode.nxDomain) return {status: 'nx'};
    return {status: answer.rcode === rcode.refused ? 'refused' : 'other'};
  } catch (error) {
    return {status: errorCode(error) === 'ERR_DNS_UNREACHABLE' ? 'other' : 'timeout'};
  }
}

function writeQuestion(name: NameKey, type: number, payloadBytes: number): Buffer {
  const end = headerBytes + name.length + 4;
  const hasOpt = payloadBytes > plainUdpBytes;
  const question = Buffer.alloc(end + (hasOpt ? optBytes : 0));
  question.writeUInt16BE(flag.recursionDesired, 2);
  question.writeUInt16BE(1, 4);
  question.write(name, headerBytes, 'latin1');
  question.writeUInt16BE(type, end - 4);
  question.writeUInt16BE(classIn, end - 2);
  if (!hasOpt) return question;
  question.writeUInt16BE(1, 10);
  question.writeUInt16BE(recordType.OPT, end + 1);
  question.writeUInt16BE(payloadBytes, end + 3);
  return question;
}
