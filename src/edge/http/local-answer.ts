/** An answer that comes from here and not from a server: a page at once, or what somebody makes while the client waits. */
import {applyAfterResponse, headOfReply} from './answer.ts';
import {isBodyless} from './h1-framing.ts';
import type {BodyLength, ClientStream} from './message.ts';
import type {LocalReply} from './reply.ts';
import type {RequestBody} from './request-body.ts';
import type {LaterReply, ReplyWork} from './stats-answer.ts';
import type {Transaction} from './transaction.ts';

export interface LocalAnswerOptions {
  readonly client: ClientStream;
  readonly transaction: Transaction;
  readonly body: RequestBody;
  /** Ends the exchange; `over()` is called in it. */
  readonly finish: (termination: string, reason: string | null) => void;
}

export class LocalAnswer {
  readonly #options: LocalAnswerOptions;
  #work: ReplyWork | null = null;
  #isOver = false;
  /** The client has its head. */
  hasBegun = false;

  constructor(options: LocalAnswerOptions) {
    this.#options = options;
  }

  /** All of it. */
  send(reply: LocalReply, termination: string, reason: string | null): void {
    const {transaction} = this.#options;
    // Of a request that is denied the rules have looked at no further.
    if (termination === 'PR' || termination === 'PT') transaction.captureCookie('request');
    if (this.#head(reply, reply.body.length)) this.#write(reply.body);
    this.#end(termination, reason);
  }

  /** What is made here, at once or later. @param reply sends one that is complete */
  serve(answer: LocalReply | LaterReply, reply: (whole: LocalReply) => void): void {
    if (!('begin' in answer)) {
      reply(answer);
      return;
    }
    const work = answer.begin({
      reply,
      head: (head) => {
        if (!this.#head(head, null)) this.#end('LR', null);
      },
      write: (chunk) => this.#write(chunk),
      end: () => this.#end('LR', null),
    });
    if (this.#isOver) work.over();
    else this.#work = work;
  }

  drained(): void {
    this.#work?.drained();
  }

  /** The exchange is over. */
  over(): void {
    this.#isOver = true;
    this.#work?.over();
    this.#work = null;
  }

  /** @returns whether a body may follow */
  #head(reply: Omit<LocalReply, 'body'>, length: BodyLength): boolean {
    if (this.#isOver) return false;
    const {client, transaction, body} = this.#options;
    const head = headOfReply(reply, length);
    transaction.response = head;
    transaction.endRequest();
    applyAfterResponse(transaction, head);
    this.hasBegun = true;
    transaction.status = client.told(head.status);
    if (!body.isComplete || reply.status === 400 || reply.status === 408) client.closeAfter();
    const bodyless = isBodyless(transaction.received.method, head.status);
    transaction.bytesOut += client.head(head, length, bodyless);
    return !bodyless && length !== 0;
  }

  #write(chunk: Buffer): boolean {
    if (this.#isOver) return false;
    const {client, transaction} = this.#options;
    transaction.bytesOut += chunk.length;
    const isTaken = client.write(chunk);
    // Nobody knows when the next piece comes.
    if (this.#work !== null) client.flush();
    return isTaken;
  }

  #end(termination: string, reason: string | null): void {
    if (this.#isOver) return;
    this.#options.finish(termination, reason);
    this.#options.client.end(null);
  }
}
