/** Makes the head of a server's answer the one that the client gets: rules, persistence, compression. */

import type {ServerConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import {errorCode} from '../../core/errors.ts';
import type {Assignment} from './assignment.ts';
import {type Compressor, compressorFor} from './compression.ts';
import {isBodyless} from './h1-framing.ts';
import type {BodyLength, ClientStream, Header, ResponseHead} from './message.ts';
import type {CookieFinding} from './persistence-cookie.ts';
import {responseForClient} from './persistence-cookie.ts';
import {type LocalReply, reasonOf} from './reply.ts';
import {type ResponseWait, type RulePlace, runResponseRules} from './response-rules.ts';
import type {Transaction} from './transaction.ts';
import {retryAfterSeconds} from './wait-page.ts';

/** Where a request was when its client left, as the second letter of the termination state tells. */
export function phaseOf(
  forwarding: {readonly isConnected: boolean; readonly server: ServerConfig | null} | null,
  hasBegun: boolean,
): 'D' | 'H' | 'C' | 'Q' | 'R' {
  if (hasBegun) return 'D';
  if (forwarding === null) return 'R';
  if (forwarding.isConnected) return 'H';
  return forwarding.server === null ? 'Q' : 'C';
}

/** What the client gets instead of the server's answer. */
export interface AnswerRefusal {
  readonly kind: 'reply';
  readonly reply: LocalReply;
  readonly termination: string;
  readonly reason: string | null;
}

const silence: LocalReply = {status: 0, reason: '', headers: [], body: Buffer.alloc(0), isSilent: true};

/**
 * `tcp-response content` rules of the backend. Those that wait (`inspect-delay`) see the head of the answer; others decide, in HAProxy, before the server has said
 * anything, and so see nothing of it.
 */
export function applyContentRules(transaction: Transaction, response: ResponseHead): AnswerRefusal | null {
  const {destination: backend} = transaction;
  if (backend === null || backend.responseContentRules.length === 0) return null;
  const waits = backend.config.tcp.responseDelayMs !== null;
  const seen = transaction.response;
  transaction.response = waits ? response : null;
  try {
    for (const rule of backend.responseContentRules) {
      const verdict = rule(transaction, response);
      transaction.isServerClosed = verdict === 'close' && waits;
      if (verdict === 'accept' || transaction.isServerClosed) return null;
      if (verdict !== null) return refusal(verdict, transaction);
    }
    return null;
  } finally {
    transaction.response = seen;
  }
}

function refusal(verdict: 'reject' | 'close', transaction: Transaction): AnswerRefusal {
  transaction.answeredAtMs = 0;
  if (verdict === 'reject') return {kind: 'reply', reply: silence, termination: 'PD', reason: 'a rule refuses the answer'};
  return {kind: 'reply', reply: transaction.errorPage(502), termination: 'SH', reason: 'a rule ends the connection to the server'};
}

/** `http-response` rules: of the backend, then of the frontend. @param from after a rule that has waited */
export function applyResponseRules(transaction: Transaction, response: ResponseHead, from?: RulePlace): AnswerRefusal | ResponseWait | null {
  const {destination: backend, frontend} = transaction;
  const lists = [backend?.responseRules ?? [], frontend.responseRules];
  const verdict = runResponseRules(lists, {transaction, response, ...(from === undefined ? {} : {from})});
  return verdict?.kind === 'reply' ? {...verdict, termination: verdict.why === 'denied' ? 'PH' : 'LH', reason: null} : verdict;
}

/** `http-after-response` rules change every answer, also those that are made here. */
export function applyAfterResponse(transaction: Transaction, response: ResponseHead): void {
  const {destination: backend, frontend} = transaction;
  runResponseRules([backend?.afterResponseRules ?? [], frontend.afterResponseRules], {transaction, response});
}

interface PersistenceParts {
  readonly assignment: Pick<Assignment, 'servers'>;
  readonly clock: Clock;
}

export function applyPersistence(
  transaction: Transaction,
  response: ResponseHead,
  {finding, server, parts}: {readonly finding: CookieFinding | null; readonly server: ServerConfig | null; readonly parts: PersistenceParts},
): void {
  const {destination: backend} = transaction;
  const cookie = backend?.cookie ?? null;
  if (backend === null || cookie === null || finding === null || server === null) return;
  const value = parts.assignment.servers(backend.config.name).cookieOf(server);
  const found = {finding, server, value, method: transaction.received.method, nowMs: parts.clock.nowMs()};
  const {headers, flag} = responseForClient(cookie, response.headers, found);
  response.headers = headers;
  transaction.cookieFlags = `${transaction.cookieFlags.charAt(0)}${flag}`;
}

const defaultTarpitMs = 5000;

export function tarpitMs({frontend, destination: backend}: Transaction): number {
  return backend?.config.tarpitTimeoutMs ?? frontend.config.tarpitTimeoutMs ?? backend?.config.connectTimeoutMs ?? defaultTarpitMs;
}

/** Of the server's answer. @param length of the body that the client gets. Returns whether it gets none, whatever the server sends. */
export function sendHead(client: ClientStream, transaction: Transaction, {head, length}: {readonly head: ResponseHead; readonly length: BodyLength}): boolean {
  const {frontend, destination, received} = transaction;
  transaction.status = client.told(head.status);
  if (frontend.config.connectionMode === 'close' || destination?.config.connectionMode === 'close') client.closeAfter();
  // A rule may have changed the method, or the status, since the server was asked.
  const bodyless = isBodyless(received.method, head.status);
  transaction.bytesOut += client.head(head, length, bodyless);
  return bodyless;
}

/** Null: the body goes as it is. */
export function compress(transaction: Transaction, acceptEncoding: string | null, response: ResponseHead, length: BodyLength): Compressor | null {
  const compression = transaction.destination?.config.compression ?? transaction.frontend.config.compression;
  if (compression === null || isBodyless(transaction.received.method, response.status)) return null;
  return compressorFor(compression, transaction.request, acceptEncoding, response, length);
}

/** @param length of the body; null: only its end tells */
export function headOfReply(reply: Omit<LocalReply, 'body'>, length: BodyLength): ResponseHead {
  const framing: readonly Header[] = length === null ? [] : [['content-length', String(length)]];
  return {status: reply.status, reason: reply.reason, version: '1.1', headers: [...framing, ...reply.headers]};
}

/** Why a server could not be used that was there: a client need not come again for that. */
const failuresOfServers: readonly (string | undefined)[] = ['ERR_CONNECT', 'ERR_NO_SERVER', 'ERR_BAD_RESPONSE'];

/** A page for a failure; one for an app that did not wake says that it may soon. */
export function heldPage(page: LocalReply, error: unknown): LocalReply {
  if (failuresOfServers.includes(errorCode(error)) || page.headers.some(([name]) => name === 'retry-after')) return page;
  return {...page, headers: [...page.headers, ['retry-after', retryAfterSeconds]]};
}

/** HTTP/2 has no reasons. */
export function withReason(head: ResponseHead): ResponseHead {
  if (head.reason === '' && head.version === '2.0') head.reason = reasonOf(head.status);
  return head;
}
