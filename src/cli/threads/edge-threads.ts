/**
 * The threads of the edge beside the first one (`nbthread`). Each has an edge of its own, takes connections from the same sockets, and serves them by
 * itself; what there must be one of is the first thread's: apps, health checks, names of servers, listening sockets, the runtime API, statistics. It
 * tells the others of every change, and asks them what they have counted.
 */
import {availableParallelism} from 'node:os';
import type {Config} from '../../config/value.ts';
import {endWithThreads} from '../../core/end-process.ts';
import {errorCode, errorMessage} from '../../core/errors.ts';
import type {Log, LogForm} from '../../core/log.ts';
import type {AppAccess, AppWatch} from '../../edge/app-access.ts';
import type {Edge} from '../../edge/edge.ts';
import type {ListeningSockets} from '../../edge/listening-sockets.ts';
import {sharedNumbers} from '../../edge/numbers.ts';
import type {SessionLimit} from '../../edge/session-limit.ts';
import {OtherThread} from './other-thread.ts';
import type {AppAt, ThreadSnapshot} from './thread-messages.ts';
import {ThreadedGeneration} from './threaded-generation.ts';

export interface EdgeThreadsOptions {
  readonly sockets: ListeningSockets;
  readonly limit: SessionLimit;
  readonly ticketKeys: Buffer;
  readonly log: Log;
  readonly form: LogForm;
}

interface Apps {
  readonly access: AppAccess;
  readonly watch: AppWatch | null;
}

export class EdgeThreads implements AsyncDisposable {
  readonly #options: EdgeThreadsOptions;
  readonly #threads: OtherThread[] = [];
  #apps: Apps | null = null;
  #unwatch: (() => void) | null = null;
  #generations = 0;
  #ending: Disposable | null = null;

  constructor(options: EdgeThreadsOptions) {
    this.#options = options;
    options.limit.crossed = () => this.#tellLimit(null);
  }

  get others(): readonly OtherThread[] {
    return this.#threads;
  }

  snapshots(): readonly ThreadSnapshot[] {
    return this.#threads.map(({snapshot}) => snapshot);
  }

  /** Asks all of them what they have counted; whatever they were told before is done then. @param sessions whether each of their sessions is told */
  async look(sessions: boolean): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.look(sessions)));
  }

  setMaxconn(maxconn: number): void {
    this.#options.limit.setMaxconn(maxconn);
    for (const thread of this.#threads) thread.tell({kind: 'maxconn', maxconn});
  }

  cut(session: number): void {
    for (const thread of this.#threads) thread.tell({kind: 'cut', session});
  }

  /** Nothing happens before `open()`. */
  begin(config: Config): ThreadedGeneration {
    return new ThreadedGeneration(++this.#generations, config, this.#threads);
  }

  /** Starts as many threads as that needs. @param first the edge of the first thread, which has bound everything. @throws CodedError; then nothing of it is open */
  async open(generation: ThreadedGeneration, first: Edge, {apps, config}: {readonly apps: Apps; readonly config: Config}): Promise<void> {
    if (generation.count === 1) return;
    this.#follow(apps);
    this.#start(generation.count);
    const {watch} = apps;
    const awake = watch === null ? null : config.apps.map(({name}) => name).filter((name) => watch.isAwake(name));
    try {
      await generation.open(first, awake);
    } catch (error) {
      await this.#endIdle();
      throw error;
    }
  }

  /** Threads that serve nothing any more end. */
  async close(generation: ThreadedGeneration): Promise<void> {
    await generation.close();
    await this.#endIdle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unwatch?.();
    const ending = this.#threads.splice(0);
    await Promise.all(ending.map((thread) => thread[Symbol.asyncDispose]()));
    if (ending.every(({hasEnded}) => hasEnded)) this.#ending?.[Symbol.dispose]();
  }

  #start(count: number): void {
    const {sockets, limit, ticketKeys, log, form} = this.#options;
    if (this.#threads.length === 0) {
      const processors = availableParallelism();
      if (count > processors) log.warn({nbthread: count, processors}, 'there are more threads than processors: the more do not serve more');
      this.#ending = endWithThreads();
    }
    for (let index = this.#threads.length + 1; index < count; index++) {
      const data = {index, numbers: sharedNumbers(), sessions: limit.shared, maxconn: limit.maxconn, ticketKeys, log: {level: log.level, form}};
      const access = (): AppAccess => this.#access();
      this.#threads.push(new OtherThread({data, sockets, access, onLimit: (from) => this.#tellLimit(from)}));
    }
  }

  async #endIdle(): Promise<void> {
    // The last ones first, so that each has the number that its place says.
    const ended: OtherThread[] = [];
    for (let last = this.#threads.at(-1); last?.generations.size === 0; last = this.#threads.at(-1)) {
      this.#threads.pop();
      ended.push(last);
      await last[Symbol.asyncDispose]();
    }
    if (this.#threads.length === 0 && ended.every(({hasEnded}) => hasEnded)) this.#ending?.[Symbol.dispose]();
  }

  #access(): AppAccess {
    if (this.#apps === null) throw new Error('a thread asked for apps before there were any');
    return this.#apps.access;
  }

  /** Tells the threads which apps are awake from now on. */
  #follow(apps: Apps): void {
    if (this.#apps?.watch === apps.watch) {
      this.#apps = apps;
      return;
    }
    this.#unwatch?.();
    this.#apps = apps;
    const ends = [
      apps.watch?.onChange((app, awake) => {
        for (const thread of this.#threads) thread.tell({kind: 'awake', app, awake});
      }),
      apps.watch?.onMoved((isOver) => {
        for (const thread of this.#threads) tellMoved(thread, isOver).catch((error: unknown) => this.#unlessEnded(error));
      }),
    ];
    this.#unwatch = () => {
      for (const end of ends) end?.();
    };
  }

  /** A thread that has ended meanwhile has no sessions that could go over. */
  #unlessEnded(error: unknown): void {
    if (errorCode(error) === 'ERR_THREAD_ENDED') return;
    this.#options.log.error({error: errorMessage(error)}, 'a thread could not be told where apps are not any more');
  }

  #tellLimit(from: OtherThread | null): void {
    if (from !== null) this.#options.limit.told();
    for (const thread of this.#threads) if (thread !== from) thread.tell({kind: 'limit'});
  }
}

async function tellMoved(thread: OtherThread, isOver: (app: AppAt['app'], host: string) => boolean): Promise<void> {
  const places = await thread.ask<readonly AppAt[]>({kind: 'places'});
  const over = places.filter(({app, host}) => isOver(app, host));
  if (over.length > 0) thread.tell({kind: 'moved', over});
}
