/**
 * Sends questions about the names of others to resolvers. Those that are alike share one question outside: who could make us ask the same many times
 * would need fewer guesses to forge an answer (RFC 5452, 5). What is outstanding is bounded.
 */
import type {Clock} from '../../core/clock.ts';
import {ask, type Nameserver} from './ask.ts';
import {ednsUdpBytes, flag, headerBytes, optBytes, rcode, recordType} from './protocol.ts';
import {type Query, word} from './query.ts';

export interface Forwarder extends Disposable {
  /** The resolver's answer with the client's identifier and question, of any size; null when there is none. Never rejects. */
  forward(query: Query): Promise<Buffer | null>;
  /** Questions that are outstanding. */
  readonly size: number;
}

const maxOutstanding = 1024;
const attemptTimeoutMs = 1500;
/** Of the resolvers in turn; two give an answer to a client that waits five seconds, as most do. */
const attempts = 3;

export function openForwarder(resolvers: readonly {readonly host: string; readonly port: number}[], clock: Clock): Forwarder {
  const outstanding = new Map<string, Promise<Buffer | null>>();
  const over = new AbortController();
  let turn = 0;

  const exchange = async (question: Buffer, questionEnd: number): Promise<Buffer | null> => {
    let refusal: Buffer | null = null;
    for (let attempt = 0; attempt < attempts && !over.signal.aborted; attempt++) {
      const resolver = resolvers[turn % resolvers.length];
      if (resolver === undefined) return null;
      const server: Nameserver = {...resolver, protocol: null};
      try {
        const answer = await ask(server, question, questionEnd, {timeoutMs: attemptTimeoutMs, clock, signal: over.signal});
        const code = word(answer, 2) & 0xf;
        if (code === rcode.noError || code === rcode.nxDomain) return answer;
        if (answer.length >= questionEnd) refusal = answer;
      } catch {
        // Another resolver may answer; that none does is told by null.
      }
      turn++;
    }
    return refusal;
  };

  return {
    get size() {
      return outstanding.size;
    },
    async forward(query) {
      const key = `${query.name}${query.type} ${query.flags & flag.checkingDisabled} ${query.edns === null ? 'plain' : String(query.edns.dnssecOk)}`;
      let shared = outstanding.get(key);
      if (shared === undefined) {
        if (outstanding.size >= maxOutstanding) return null;
        shared = exchange(writeQuestion(query), query.questionEnd).finally(() => outstanding.delete(key));
        outstanding.set(key, shared);
      }
      const answer = await shared;
      return answer === null ? null : readdress(answer, query);
    },
    [Symbol.dispose]() {
      over.abort();
    },
  };
}

/** The client's question with nothing else of its message: no options of a client leave this host. */
function writeQuestion({message, questionEnd, flags, edns}: Query): Buffer {
  const question = Buffer.alloc(questionEnd + (edns === null ? 0 : optBytes));
  question.set(message.subarray(headerBytes, questionEnd), headerBytes);
  question.writeUInt16BE(flag.recursionDesired | (flags & flag.checkingDisabled), 2);
  question.writeUInt16BE(1, 4);
  if (edns === null) return question;
  question.writeUInt16BE(1, 10);
  question.writeUInt16BE(recordType.OPT, questionEnd + 1);
  question.writeUInt16BE(ednsUdpBytes, questionEnd + 3);
  if (edns.dnssecOk) question[questionEnd + 7] = 0x80;
  return question;
}

/** Each of those that share an answer gets it as if it had asked alone, in the case in which it wrote the name. */
function readdress(shared: Buffer, {id, message, questionEnd}: Query): Buffer {
  const answer = Buffer.from(shared);
  answer.writeUInt16BE(id, 0);
  answer.set(message.subarray(headerBytes, questionEnd), headerBytes);
  return answer;
}
