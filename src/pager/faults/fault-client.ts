/** The main thread's side of the fault worker: starts it, hands commands over, tells what it reports. */
import {MessageChannel, type MessagePort, Worker} from 'node:worker_threads';
import {CodedError, errorMessage} from '../../core/errors.ts';
import type {InstanceId} from '../../core/ids.ts';
import {close, eventfd, tryWrite} from '../../core/libc.ts';
import type {ByteRange} from './absent-pages.ts';
import type {FaultAnswer, FaultCommand, FaultReply, FaultReport, FaultRequest, FaultWorkerData, InstancePlan} from './fault-messages.ts';

/** A part of a segment that an instance needs in the local file. */
export interface WantedPart extends ByteRange {
  readonly instance: InstanceId;
  readonly segment: number;
  /** A thread of the app stands still for it; else it is only expected to be touched. */
  readonly urgent: boolean;
}

export interface FaultClientOptions {
  readonly windowPath: string;
  readonly takeovers: readonly InstancePlan[];
  /** See `FaultWorkerData`; default none. */
  readonly laterSpaces?: readonly number[];
  readonly onReport: (report: Exclude<FaultReport, {kind: 'wanted'}>) => void;
  /**
   * Brings a part of a segment into its local file, and marks it there, before it resolves. Called for many parts at once, the most wanted first,
   * and again for the same part when that is urgent. When it rejects, it is asked again after a while as long as a thread waits.
   */
  readonly onWanted: (part: WantedPart) => Promise<void>;
  /** The thread has ended by itself; faults are unanswered until another process takes over. */
  readonly onEnd: (reason: string) => void;
}

const eventfdFlags = 0o2004000; // EFD_CLOEXEC | EFD_NONBLOCK
const ringing = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);
/** A thread that only runs our loop needs little; the heap of tables is outside of the limit (typed arrays). */
const resourceLimits = {maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 256};

type AnswerTo<Kind extends FaultCommand['kind']> = Extract<FaultAnswer, {kind: AnswerKinds[Kind]}>;

interface AnswerKinds {
  readonly prepare: 'prepared';
  readonly takeover: 'taken-over';
  readonly expect: 'expecting';
  readonly missing: 'missing';
  readonly stats: 'stats';
  readonly release: 'released';
  readonly repark: 'reparked';
  readonly fetched: 'noted';
  readonly unfetchable: 'noted';
  readonly stop: 'stopped';
}

export class FaultClient implements AsyncDisposable {
  readonly #port: MessagePort;
  readonly #worker: Worker;
  readonly #bell: number;
  readonly #options: FaultClientOptions;
  readonly #waiting = new Map<number, PromiseWithResolvers<FaultAnswer>>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #ended: Promise<void>;
  #nextId = 1;
  #state: 'serving' | 'stopping' | 'ended' = 'serving';

  /** Starts the thread; `ready` resolves when it has taken over what it was given. */
  constructor(options: FaultClientOptions) {
    this.#options = options;
    this.#bell = eventfd(eventfdFlags);
    const {port1, port2} = new MessageChannel();
    this.#port = port1;
    const {windowPath, takeovers, laterSpaces = []} = options;
    const data: FaultWorkerData = {port: port2, bell: this.#bell, windowPath, takeovers, laterSpaces};
    // Compiled code lies beside compiled code.
    const script = import.meta.url.endsWith('.ts') ? './fault-worker.ts' : './fault-worker.js';
    this.#worker = new Worker(new URL(script, import.meta.url), {name: 'faults', workerData: data, transferList: [port2], resourceLimits});
    port1.on('message', (reply: FaultReply) => this.#receive(reply));
    this.#ended = this.#watch();
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** @throws CodedError with the code that the worker gave, or ERR_PAGER_STOPPED */
  async ask<Kind extends FaultCommand['kind']>(command: Extract<FaultCommand, {kind: Kind}>): Promise<AnswerTo<Kind>> {
    if (this.#state === 'ended') throw stopped();
    const id = this.#nextId++;
    const waiter = Promise.withResolvers<FaultAnswer>();
    this.#waiting.set(id, waiter);
    const request: FaultRequest = {id, command};
    this.#port.postMessage(request);
    tryWrite(this.#bell, ringing);
    return (await waiter.promise) as AnswerTo<Kind>;
  }

  #receive(reply: FaultReply): void {
    switch (reply.kind) {
      case 'ready':
        this.#ready.resolve();
        return;
      case 'answer':
        this.#waiting.get(reply.id)?.resolve(reply.answer);
        this.#waiting.delete(reply.id);
        return;
      case 'failed':
        this.#waiting.get(reply.id)?.reject(new CodedError(reply.code, reply.message, {source: 'host'}));
        this.#waiting.delete(reply.id);
        return;
      case 'report':
        if (reply.report.kind === 'wanted') this.#fetch(reply.report);
        else this.#options.onReport(reply.report);
        return;
      default:
        reply satisfies never;
    }
  }

  #fetch({instance, urgent, ranges}: Extract<FaultReport, {kind: 'wanted'}>): void {
    for (const {id, segment, position, length} of ranges) {
      void this.#options
        .onWanted({instance, segment, position, length, urgent})
        .then(
          async () => this.ask({kind: 'fetched', id}),
          async (error: unknown) => this.ask({kind: 'unfetchable', id, reason: errorMessage(error)}),
        )
        .catch(() => {
          // The worker has ended, and with it who wanted it.
        });
    }
  }

  #watch(): Promise<void> {
    let reason = 'the thread returned';
    this.#worker.on('error', (error) => {
      reason = errorMessage(error);
    });
    return new Promise((resolve) => {
      this.#worker.on('exit', () => {
        const expected = this.#state === 'stopping';
        this.#state = 'ended';
        this.#port.close();
        close(this.#bell);
        for (const waiter of this.#waiting.values()) waiter.reject(stopped());
        this.#ready.reject(stopped());
        this.#ready.promise.catch(() => {
          // Whoever waits for it hears of it; nobody need to.
        });
        if (!expected) this.#options.onEnd(reason);
        resolve();
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'serving') {
      const done = this.ask({kind: 'stop'});
      this.#state = 'stopping';
      await done.catch(() => {
        // Its end can be noticed before its answer.
      });
    }
    await this.#ended;
  }
}

function stopped(): CodedError {
  return new CodedError('ERR_PAGER_STOPPED', 'Cannot ask the fault worker: it has ended', {source: 'host'});
}
