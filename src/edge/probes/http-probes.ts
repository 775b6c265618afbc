/** Requests that are health checks of apps: an app that sleeps is answered for, one that is awake is listened to. */
import type {AppName} from '../../core/ids.ts';
import type {AppWatch} from '../app-access.ts';
import {headOfReply} from '../http/answer.ts';
import type {ResponseHead} from '../http/message.ts';
import type {Transaction} from '../http/transaction.ts';
import {type AnswerRecorder, type KnownAnswers, questionOf} from './known-answers.ts';
import {whenAsleep} from './when-asleep.ts';

export interface ProbeAnswer {
  readonly head: ResponseHead;
  readonly body: Buffer;
  /** The page for it is empty: the connection is closed without a word. */
  readonly isSilent: boolean;
}

/** An app that is being asked. */
export interface FollowedApp extends Disposable {
  /** As the app sent it: what rules make of it, they will make of it again. */
  head(head: ResponseHead): void;
  data(chunk: Buffer): void;
  complete(): void;
}

export class HttpProbes {
  readonly #known: KnownAnswers;
  readonly #watch: AppWatch | null;

  constructor(known: KnownAnswers, watch: AppWatch | null) {
    this.#known = known;
    this.#watch = watch;
  }

  /** What a sleeping app has answered last, else the page for 200; that for 503 when it could not be woken, or `answer-checks` is off. */
  answer(app: AppName, transaction: Transaction): ProbeAnswer {
    this.#watch?.checkAnswered(app);
    const isWell = transaction.probe?.answers !== false && this.#watch?.isWakeable(app) !== false;
    const question = isWell ? questionOf(transaction.request) : null;
    const known = question === null ? null : this.#known.get(app, question);
    if (known === null) {
      const page = transaction.errorPage(isWell ? 200 : 503);
      return {head: headOfReply(page, page.body.length), body: page.body, isSilent: page.isSilent === true};
    }
    const {status, reason, headers, body} = known;
    const length = transaction.request.method === 'HEAD' ? [] : [['content-length', String(body.length)] as const];
    return {head: {status, reason, version: '1.1', headers: [...length, ...headers]}, body, isSilent: false};
  }

  /** Null: it has just gone to sleep. @param asleep called when the app does not answer any more, because it goes to sleep */
  follow(app: AppName, transaction: Transaction, asleep: () => void): FollowedApp | null {
    if (this.#watch?.isAwake(app) !== true) return null;
    const question = questionOf(transaction.request);
    const stop = whenAsleep(app, this.#watch, asleep);
    let recorder: AnswerRecorder | null = null;
    return {
      head: (head) => {
        recorder = question === null ? null : this.#known.record(app, question, head);
      },
      data: (chunk) => recorder?.data(chunk),
      complete: () => recorder?.complete(),
      [Symbol.dispose]: stop,
    };
  }
}
