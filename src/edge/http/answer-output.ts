/** The body of a server's answer on its way to the client, compressed or as it is. Who is slower slows the other down. */
import {errorMessage} from '../../core/errors.ts';
import type {Compressor} from './compression.ts';
import type {ClientStream} from './message.ts';
import type {Transaction} from './transaction.ts';

export interface AnswerOutputOptions {
  readonly client: ClientStream;
  readonly transaction: Transaction;
  /** The client has been told that there is none: what the server sends of it goes no further. */
  readonly bodyless: boolean;
  /** Null: the body goes as it is. */
  readonly compressor: Compressor | null;
  readonly server: {pause(): void; resume(): void} | null;
  readonly failed: (reason: string) => void;
}

export class AnswerOutput {
  readonly #options: AnswerOutputOptions;
  #isOver = false;

  constructor(options: AnswerOutputOptions) {
    this.#options = options;
    const {client, transaction, compressor, server, failed} = options;
    compressor?.on('data', (chunk: Buffer) => {
      if (this.#isOver) return;
      transaction.bytesOut += chunk.length;
      if (!client.write(chunk)) compressor.pause();
    });
    compressor?.on('drain', () => server?.resume());
    compressor?.on('error', (error) => failed(errorMessage(error)));
  }

  data(chunk: Buffer): void {
    const {client, transaction, bodyless, compressor, server} = this.#options;
    if (bodyless) return;
    if (compressor !== null) {
      if (!compressor.write(chunk)) server?.pause();
      return;
    }
    transaction.bytesOut += chunk.length;
    if (!client.write(chunk)) server?.pause();
  }

  /** @param complete called when the client has been given all of it */
  end(complete: () => void): void {
    const {compressor} = this.#options;
    if (compressor === null) {
      complete();
      return;
    }
    compressor.on('end', complete);
    compressor.end();
  }

  drained(): void {
    const {compressor, server} = this.#options;
    if (compressor === null) server?.resume();
    else compressor.resume();
  }

  over(): void {
    this.#isOver = true;
    this.#options.compressor?.removeAllListeners('data');
  }
}
