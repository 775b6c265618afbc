/** Questions that come in datagrams, and their answers. */
import {errnoName} from '../../core/libc.ts';
import type {Log} from '../../core/log.ts';
import type {Counters} from '../counters.ts';
import type {SharedDatagramSocket} from '../datagram-sockets.ts';
import type {ReceivedDatagram, ReturnAddress} from '../datagrams/received-datagram.ts';
import type {ReplyBatch} from '../datagrams/reply-batch.ts';
import type {Responder} from './responder.ts';

/** Datagram sockets, which are kept until what was asked is answered; a question that comes after `stop()` is for the next generation. */
export class DatagramService {
  readonly drained: Promise<void>;
  readonly #responder: Responder;
  readonly #counters: Counters;
  readonly #log: Log;
  readonly #frontend: string;
  readonly #shared: SharedDatagramSocket[] = [];
  readonly #settleDrained: () => void;
  #outstanding = 0;
  #stopped = false;

  constructor(responder: Responder, counters: Counters, log: Log, frontend: string) {
    this.#responder = responder;
    this.#counters = counters;
    this.#log = log;
    this.#frontend = frontend;
    const {promise, resolve} = Promise.withResolvers<void>();
    this.drained = promise;
    this.#settleDrained = resolve;
  }

  add(shared: SharedDatagramSocket): void {
    this.#shared.push(shared);
    const {replies} = shared.socket;
    shared.receive({
      onDatagram: (datagram) => this.#answer(datagram, replies),
      onError: (errno) => this.#log.error({frontend: this.#frontend, reason: errnoName(errno)}, 'datagram socket'),
      onLost: () => {
        // A client that cannot be reached asks again, or does not.
        this.#counters.datagramsDropped++;
      },
    });
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#closeIfDone();
  }

  #answer(datagram: ReceivedDatagram, replies: ReplyBatch): boolean {
    // Nobody can be answered at port 0, which only forged datagrams come from.
    if (this.#stopped || datagram.port === 0) return false;
    const {length, addresses} = datagram;
    this.#counters.bytesIn += length;
    const {source, destination} = addresses;
    // What is forwarded is answered when this memory has other contents.
    const question = Buffer.from(datagram.memory.subarray(0, length));
    const answer = this.#responder.respond(question, {protocol: 'udp', source: source.host, address: destination.host, port: destination.port});
    if (answer instanceof Promise) void this.#sendLater(replies, answer, datagram.returnAddress());
    else if (answer !== null) this.#send(replies, answer, datagram.returnAddress());
    return true;
  }

  async #sendLater(replies: ReplyBatch, later: Promise<Buffer | null>, to: ReturnAddress): Promise<void> {
    this.#outstanding++;
    const answer = await later;
    this.#outstanding--;
    if (answer !== null) {
      this.#send(replies, answer, to);
      replies.flush();
    }
    this.#closeIfDone();
  }

  #send(replies: ReplyBatch, answer: Buffer, to: ReturnAddress): void {
    this.#counters.bytesOut += answer.length;
    replies.add(answer, to);
  }

  #closeIfDone(): void {
    if (!this.#stopped || this.#outstanding > 0) return;
    for (const shared of this.#shared.splice(0)) shared[Symbol.dispose]();
    this.#settleDrained();
  }
}
