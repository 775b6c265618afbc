/** Messages between the threads of this process, in the order in which they were given. */
import type {MessagePort} from 'node:worker_threads';
import {CodedError, type ErrorSource, errorCode, errorMessage} from '../../core/errors.ts';

interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly source: ErrorSource;
  readonly retryable: boolean;
}

type Envelope<Body> =
  | {readonly kind: 'tell'; readonly body: Body}
  | {readonly kind: 'ask'; readonly id: number; readonly body: Body}
  | {readonly kind: 'answer'; readonly id: number; readonly value: unknown}
  | {readonly kind: 'refusal'; readonly id: number; readonly error: Refusal};

interface Asker {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export interface ChannelHandlers<In> {
  told(message: In): void;
  /** Resolves to the answer. A CodedError arrives as one. */
  asked(message: In): Promise<unknown>;
}

/** One end. What is said in one turn of the event loop goes together, since each message costs as much as a system call. */
export class Channel<Out, In> {
  readonly #port: MessagePort;
  readonly #handlers: ChannelHandlers<In>;
  readonly #asked = new Map<number, Asker>();
  #batch: Envelope<Out>[] = [];
  #lastId = 0;

  constructor(port: MessagePort, handlers: ChannelHandlers<In>) {
    this.#port = port;
    this.#handlers = handlers;
    port.on('message', (batch: readonly Envelope<In>[]) => {
      for (const envelope of batch) this.#receive(envelope);
    });
  }

  tell(body: Out): void {
    this.#send({kind: 'tell', body});
  }

  /** The other end knows what it answers. Rejects with what the other end throws, and with ERR_THREAD_ENDED. */
  ask<Answer>(body: Out): Promise<Answer> {
    const {promise, resolve, reject} = Promise.withResolvers<unknown>();
    const id = ++this.#lastId;
    this.#asked.set(id, {resolve, reject});
    this.#send({kind: 'ask', id, body});
    return promise as Promise<Answer>;
  }

  /** Nobody answers any more. */
  close(): void {
    this.flush();
    this.#port.close();
    const ended = new CodedError('ERR_THREAD_ENDED', 'Cannot ask a thread that has ended', {source: 'host'});
    for (const {reject} of this.#asked.values()) reject(ended);
    this.#asked.clear();
  }

  /** At once what else would go at the end of the turn. */
  flush(): void {
    if (this.#batch.length === 0) return;
    const batch = this.#batch;
    this.#batch = [];
    this.#port.postMessage(batch);
  }

  #send(envelope: Envelope<Out>): void {
    this.#batch.push(envelope);
    if (this.#batch.length === 1) queueMicrotask(() => this.flush());
  }

  #receive(envelope: Envelope<In>): void {
    switch (envelope.kind) {
      case 'tell':
        this.#handlers.told(envelope.body);
        break;
      case 'ask':
        void this.#answer(envelope.id, envelope.body);
        break;
      case 'answer':
        this.#settle(envelope.id)?.resolve(envelope.value);
        break;
      case 'refusal': {
        const {code, message, source, retryable} = envelope.error;
        this.#settle(envelope.id)?.reject(new CodedError(code, message, {source, retryable}));
        break;
      }
      default:
        envelope satisfies never;
    }
  }

  #settle(id: number): Asker | undefined {
    const asker = this.#asked.get(id);
    this.#asked.delete(id);
    return asker;
  }

  async #answer(id: number, body: In): Promise<void> {
    try {
      this.#send({kind: 'answer', id, value: await this.#handlers.asked(body)});
    } catch (error) {
      const known = error instanceof CodedError ? error : null;
      const code = errorCode(error) ?? 'ERR_THREAD';
      this.#send({kind: 'refusal', id, error: {code, message: errorMessage(error), source: known?.source ?? 'bug', retryable: known?.retryable ?? false}});
    }
  }
}
