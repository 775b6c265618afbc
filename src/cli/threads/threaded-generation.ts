/** What the threads do of one generation of the configuration. The edge of the first one is somebody else's. */
import {type Spread, spreadFrontends} from '../../config/thread-spread.ts';
import type {Config} from '../../config/value.ts';
import type {AppName} from '../../core/ids.ts';
import type {Edge} from '../../edge/edge.ts';
import type {ServersWatcher} from '../../edge/edge-parts.ts';
import type {OtherThread} from './other-thread.ts';
import {frontendsOfThread, shareOf} from './thread-config.ts';
import type {Change, ThreadConfig, ToThread} from './thread-messages.ts';
import type {GenerationSnapshot} from './thread-snapshot.ts';

export class ThreadedGeneration implements ServersWatcher {
  readonly #id: number;
  readonly #config: Config;
  readonly #spread: Spread;
  /** All other threads that there are. */
  readonly #threads: readonly OtherThread[];
  /** Of frontends that are spread: those of all threads together. */
  readonly #maxconns: Map<string, number>;
  /** With the first one. */
  readonly count: number;

  /** Nothing happens before `open()`. */
  constructor(id: number, config: Config, threads: readonly OtherThread[]) {
    this.#id = id;
    this.#config = config;
    this.#threads = threads;
    this.#spread = spreadFrontends(config);
    this.count = this.#spread.spread.size === 0 ? 1 : config.global.process.threads;
    const {spread} = this.#spread;
    this.#maxconns = new Map(config.frontends.filter(({name}) => spread.has(name)).map(({name, maxconn}) => [name, maxconn]));
  }

  /** What is left for the first thread. */
  get frontends(): Config['frontends'] {
    return this.#ofThread(0).frontends;
  }

  /** Tells the other threads what becomes of servers; undefined: there is none. */
  get watcher(): ServersWatcher | undefined {
    return this.count === 1 ? undefined : this;
  }

  /**
   * After the edge of the first thread, which has bound everything. `count - 1` other threads are there.
   * @param awake null: there is nobody who knows, as there are no apps
   * @throws CodedError; then nothing of it is open
   */
  async open(first: Edge, awake: readonly AppName[] | null): Promise<void> {
    const copies = [...first.parts.pools.list()].flatMap(({name: backend, servers}) => servers.map(({name: server, copy}) => ({backend, server, copy})));
    const threads = this.#threads.slice(0, this.count - 1);
    for (const {generations} of threads) generations.add(this.#id);
    const opened = await Promise.allSettled(
      threads.map(async (thread) => {
        try {
          await thread.ask({kind: 'open', generation: this.#id, config: this.#ofThread(thread.index), copies, awake});
        } catch (error) {
          thread.generations.delete(this.#id);
          throw error;
        }
      }),
    );
    const failed = opened.find((result) => result.status === 'rejected');
    if (failed === undefined) return;
    await this.close();
    throw failed.reason;
  }

  stopAccepting(): void {
    this.#tellAll({kind: 'stop-accepting', generation: this.#id});
  }

  async drain(deadlineMs: number): Promise<void> {
    await Promise.all(this.#mine().map((thread) => thread.ask({kind: 'drain', generation: this.#id, deadlineMs})));
  }

  async close(): Promise<void> {
    const closing = this.#mine();
    await Promise.all(closing.map((thread) => thread.ask({kind: 'close', generation: this.#id})));
    for (const {generations} of closing) generations.delete(this.#id);
  }

  /** An operator has done it in the first thread. */
  tell(change: Change): void {
    this.#tellAll({kind: 'change', generation: this.#id, change});
  }

  /** Of each of the other threads, as of the last look. */
  snapshots(): readonly GenerationSnapshot[] {
    return this.#mine().flatMap(({snapshot}) => snapshot.generations.filter(({generation}) => generation === this.#id));
  }

  /** Of a frontend that is spread: that of all threads together; null: it is not. */
  maxconnOf(frontend: string): number | null {
    return this.#maxconns.get(frontend) ?? null;
  }

  /** Gives each of the other threads its share. @returns that of the first thread */
  setMaxconn(frontend: string, maxconn: number): number {
    if (!this.#maxconns.has(frontend)) return maxconn;
    this.#maxconns.set(frontend, maxconn);
    const {count} = this;
    for (const thread of this.#mine()) {
      const change: Change = {what: 'frontend-maxconn', frontend, maxconn: shareOf(maxconn, {index: thread.index, count})};
      thread.tell({kind: 'change', generation: this.#id, change});
    }
    return shareOf(maxconn, {index: 0, count});
  }

  changed(server: Parameters<ServersWatcher['changed']>[0]): void {
    this.#tellAll({kind: 'server', generation: this.#id, server});
  }

  added(backend: string, config: Parameters<ServersWatcher['added']>[1]): void {
    this.#tellAll({kind: 'server-added', generation: this.#id, backend, config});
  }

  removed(backend: string, server: string): void {
    this.#tellAll({kind: 'server-removed', generation: this.#id, backend, server});
  }

  #mine(): readonly OtherThread[] {
    return this.#threads.filter(({generations}) => generations.has(this.#id));
  }

  #tellAll(message: ToThread): void {
    for (const thread of this.#mine()) thread.tell(message);
  }

  #ofThread(index: number): ThreadConfig {
    const {frontends, backends, userlists, resolvers, global} = this.#config;
    const {count} = this;
    return {
      frontends: frontendsOfThread(frontends, this.#spread, {index, count}),
      backends,
      userlists,
      resolvers,
      process: global.process,
      threads: count,
    };
  }
}
