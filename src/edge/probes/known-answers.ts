/** What apps have answered to health checks last, while they were awake: that is what is answered while they sleep. */
import type {AppName} from '../../core/ids.ts';
import type {Header, RequestHead, ResponseHead} from '../http/message.ts';
import {headerOf} from '../http/message.ts';

/** Of the answers of one app. Those that were asked for last are kept. */
const maxAnswers = 4;
/** Of longer ones only the status is kept. */
const maxBodyBytes = 4096;
/** Fields that are of one connection, one moment or one client. */
const passing = new Set(['connection', 'keep-alive', 'transfer-encoding', 'trailer', 'upgrade', 'date', 'age', 'set-cookie', 'content-length', 'alt-svc']);

export interface KnownAnswer {
  readonly status: number;
  readonly reason: string;
  /** Without its length, unless there is no body because HEAD was asked. */
  readonly headers: readonly Header[];
  readonly body: Buffer;
}

/** The same question again. Null: the answer is not for others, or holds for a part only. */
export function questionOf({method, uri, headers}: RequestHead): string | null {
  if (method !== 'GET' && method !== 'HEAD') return null;
  if (['authorization', 'cookie', 'range'].some((name) => headerOf(headers, name) !== null)) return null;
  return `${method} ${headerOf(headers, 'host') ?? ''} ${uri} ${headerOf(headers, 'accept-encoding') ?? ''}`;
}

export class KnownAnswers {
  readonly #apps = new Map<AppName, Map<string, KnownAnswer>>();

  get(app: AppName, question: string): KnownAnswer | null {
    return this.#apps.get(app)?.get(question) ?? null;
  }

  /** Begins with the head of an answer, of which nothing is kept before it is complete. Null: it is not for keeping. */
  record(app: AppName, question: string, head: ResponseHead): AnswerRecorder | null {
    if (head.status === 304 || head.status === 206) return null;
    return new AnswerRecorder(head, question.startsWith('HEAD '), (answer) => this.#keep(app, question, answer));
  }

  #keep(app: AppName, question: string, answer: KnownAnswer): void {
    const answers = this.#apps.get(app) ?? new Map<string, KnownAnswer>();
    this.#apps.set(app, answers);
    answers.delete(question);
    answers.set(question, answer);
    const [oldest] = answers.keys();
    if (answers.size > maxAnswers && oldest !== undefined) answers.delete(oldest);
  }
}

export class AnswerRecorder {
  readonly #head: Pick<KnownAnswer, 'status' | 'reason' | 'headers'>;
  readonly #keep: (answer: KnownAnswer) => void;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Only the status is of use. */
  #isBare: boolean;

  constructor({status, reason, headers}: ResponseHead, isHead: boolean, keep: (answer: KnownAnswer) => void) {
    this.#isBare = /\b(?:no-store|private)\b/i.test(headerOf(headers, 'cache-control') ?? '');
    this.#head = {status, reason, headers: headers.filter(([name]) => !passing.has(name) || (isHead && name === 'content-length'))};
    this.#keep = keep;
  }

  data(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > maxBodyBytes) this.#isBare = true;
    if (this.#isBare) this.#chunks = [];
    else this.#chunks.push(chunk);
  }

  complete(): void {
    const {status, reason} = this.#head;
    this.#keep(this.#isBare ? {status, reason, headers: [], body: Buffer.alloc(0)} : {...this.#head, body: Buffer.concat(this.#chunks)});
  }
}
