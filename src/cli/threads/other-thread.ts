/** The first thread's side of another one: starts it, answers what it asks, and ends it. */
import {once} from 'node:events';
import {MessageChannel, SHARE_ENV, Worker} from 'node:worker_threads';
import {systemClock} from '../../core/clock.ts';
import {CodedError} from '../../core/errors.ts';
import type {AppName} from '../../core/ids.ts';
import type {AppAccess, SessionHandle} from '../../edge/app-access.ts';
import type {ListeningSockets, SharedSocket} from '../../edge/listening-sockets.ts';
import {Channel} from './channel.ts';
import type {FromThread, TakenSocket, ThreadData, ThreadSnapshot, ToThread} from './thread-messages.ts';

/** Plain JavaScript has no type annotations left, and another name. */
const threadUrl = new URL(import.meta.url.endsWith('.ts') ? './edge-thread.ts' : './edge-thread.js', import.meta.url);

/** For closing what it has: sessions are cut, and nothing of it waits for clients. */
const longestEndMs = 10_000;

export interface OtherThreadOptions {
  readonly data: Omit<ThreadData, 'port'>;
  readonly sockets: ListeningSockets;
  /** Who runs the apps now. */
  readonly access: () => AppAccess;
  /** It has found that all threads have reached their `maxconn`, or have room again. */
  readonly onLimit: (from: OtherThread) => void;
}

export class OtherThread implements AsyncDisposable {
  readonly index: number;
  readonly #options: OtherThreadOptions;
  readonly #worker: Worker;
  readonly #channel: Channel<ToThread, FromThread>;
  readonly #sessions = new Map<number, SessionHandle>();
  readonly #sockets = new Map<number, SharedSocket>();
  readonly #exited: Promise<unknown>;
  #lastSocket = 0;
  #isEnding = false;
  hasEnded = false;
  /** What it serves: it ends with the last one. */
  readonly generations = new Set<number>();
  /** As it was when it was last asked. */
  snapshot: ThreadSnapshot = {generations: [], sessionRate: 0, sessionRateMax: 0};

  /** It works when it is asked something. */
  constructor(options: OtherThreadOptions) {
    this.#options = options;
    this.index = options.data.index;
    const {port1, port2} = new MessageChannel();
    const workerData: ThreadData = {...options.data, port: port2};
    this.#worker = new Worker(threadUrl, {workerData, transferList: [port2], env: SHARE_ENV, stdin: false, execArgv: [], name: `edge ${this.index}`});
    this.#exited = once(this.#worker, 'exit');
    this.#worker.on('error', (error) => this.#failed(String(error)));
    this.#worker.on('exit', () => {
      this.hasEnded = true;
      if (!this.#isEnding) this.#failed('it has ended');
    });
    this.#channel = new Channel(port1, {told: (message) => this.#told(message), asked: (message) => this.#asked(message)});
  }

  tell(message: ToThread): void {
    if (!this.#isEnding) this.#channel.tell(message);
  }

  /** Rejects with a CodedError. */
  ask<Answer>(message: ToThread): Promise<Answer> {
    return this.#channel.ask<Answer>(message);
  }

  async look(sessions: boolean): Promise<void> {
    if (!this.#isEnding) this.snapshot = await this.ask<ThreadSnapshot>({kind: 'snapshot', sessions});
  }

  /** Its sessions are cut. One that does not end in time is left to the end of the process. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    const late = Promise.withResolvers<void>();
    const cancel = systemClock.after(longestEndMs, late.resolve);
    await Promise.race([this.ask({kind: 'end'}).then(() => this.#exited), late.promise]);
    cancel();
    this.#worker.unref();
    this.#channel.close();
    for (const session of this.#sessions.values()) session[Symbol.dispose]();
    for (const socket of this.#sockets.values()) socket[Symbol.dispose]();
  }

  /** @throws CodedError: as an error of the first thread it ends the process, which must not go on with half of its threads */
  #failed(error: string): never {
    throw new CodedError('ERR_THREAD', `Thread ${this.index} of the edge has failed: ${error}`, {source: 'bug'});
  }

  #told(message: FromThread): void {
    const {access, onLimit} = this.#options;
    switch (message.kind) {
      case 'session':
        this.#begin(message.session, message.app);
        break;
      case 'busy':
        this.#sessions.get(message.session)?.busy(message.busy);
        break;
      case 'reached':
        this.#sessions.get(message.session)?.reached();
        break;
      case 'over':
        this.#sessions.get(message.session)?.[Symbol.dispose]();
        this.#sessions.delete(message.session);
        break;
      case 'missed':
        access().missed(message.app);
        break;
      case 'release':
        this.#sockets.get(message.socket)?.[Symbol.dispose]();
        this.#sockets.delete(message.socket);
        break;
      case 'limit':
        onLimit(this);
        break;
      case 'failed':
        this.#failed(message.error);
        break;
      default:
        throw new CodedError('ERR_ASSERTION', `A thread told "${message.kind}"`, {source: 'bug'});
    }
  }

  /** A reload may have taken the app away while the message was on its way: then there is nothing to keep awake. */
  #begin(session: number, app: AppName): void {
    try {
      this.#sessions.set(session, this.#options.access().session(app));
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
    }
  }

  async #asked(message: FromThread): Promise<unknown> {
    switch (message.kind) {
      case 'wake':
        return this.#options.access().wake(message.app, message.trigger, new AbortController().signal);
      case 'take':
        return this.#take(message);
      default:
        throw new CodedError('ERR_ASSERTION', `A thread asked "${message.kind}"`, {source: 'bug'});
    }
  }

  async #take(wanted: Extract<FromThread, {readonly kind: 'take'}>): Promise<TakenSocket> {
    const shared = await this.#options.sockets.take({...wanted, forThread: true});
    const socket = ++this.#lastSocket;
    this.#sockets.set(socket, shared);
    return {socket, fd: shared.fd, backlog: shared.backlog};
  }
}
