import type {RemoteInfo, Socket} from 'node:dgram';
import type {Clock} from '../../core/clock.ts';
import {errorMessage} from '../../core/errors.ts';
import type {Log} from '../../core/log.ts';
import {plainAddress} from '../addresses.ts';
import type {Counters} from '../counters.ts';
import type {SharedDatagramSocket} from '../datagram-sockets.ts';
import {localAddresses} from './local-address.ts';
import type {Responder} from './responder.ts';

/** A client that cannot be reached asks again, or does not. */
const ignoreFailure = (): void => undefined;

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

  add(shared: SharedDatagramSocket, clock: Clock): void {
    this.#shared.push(shared);
    const {socket} = shared;
    const {address, port} = socket.address();
    const everywhere = address === '0.0.0.0' || address === '::' ? localAddresses(address, clock) : null;
    socket.on('error', (error) => this.#log.error({frontend: this.#frontend, reason: errorMessage(error)}, 'datagram socket'));
    shared.receive((message, from) => {
      // Nobody can be answered at port 0, which only forged datagrams come from.
      if (this.#stopped || from.port === 0) return false;
      this.#counters.bytesIn += message.length;
      const source = plainAddress(from.address);
      const local = everywhere === null ? address : everywhere.towards(source);
      const answer =
        typeof local === 'string'
          ? this.#responder.respond(message, {protocol: 'udp', source, address: local, port})
          : local.then((found) => this.#responder.respond(message, {protocol: 'udp', source, address: found, port}));
      if (answer instanceof Promise) void this.#sendLater(socket, answer, from);
      else if (answer !== null) this.#send(socket, answer, from);
      return true;
    });
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#closeIfDone();
  }

  async #sendLater(socket: Socket, later: Promise<Buffer | null>, to: RemoteInfo): Promise<void> {
    this.#outstanding++;
    const answer = await later;
    this.#outstanding--;
    if (answer !== null) this.#send(socket, answer, to);
    this.#closeIfDone();
  }

  #send(socket: Socket, answer: Buffer, to: RemoteInfo): void {
    this.#counters.bytesOut += answer.length;
    socket.send(answer, to.port, to.address, ignoreFailure);
  }

  #closeIfDone(): void {
    if (!this.#stopped || this.#outstanding > 0) return;
    for (const shared of this.#shared.splice(0)) shared[Symbol.dispose]();
    this.#settleDrained();
  }
}
