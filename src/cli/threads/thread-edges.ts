/** The edges of one thread: one for each generation of the configuration that has sessions there, as the first thread says. */
import {systemClock} from '../../core/clock.ts';
import {CodedError, errorMessage} from '../../core/errors.ts';
import type {Log} from '../../core/log.ts';
import {type Edge, openEdge} from '../../edge/edge.ts';
import type {ListeningSockets} from '../../edge/listening-sockets.ts';
import type {NamedServerCopy} from '../../edge/pool/server-copy.ts';
import type {SessionLimit} from '../../edge/session-limit.ts';
import {applyChange} from './apply-change.ts';
import type {ThreadApps} from './thread-apps.ts';
import type {ThreadConfig, ThreadSnapshot, ToThread} from './thread-messages.ts';
import {generationSnapshot} from './thread-snapshot.ts';

export interface ThreadEdgesOptions {
  readonly apps: ThreadApps;
  readonly sockets: ListeningSockets;
  readonly limit: SessionLimit;
  readonly ticketKeys: Buffer;
  readonly log: Log;
}

interface Generation {
  readonly opened: Promise<Edge>;
  edge: Edge | null;
}

export class ThreadEdges {
  readonly #options: ThreadEdgesOptions;
  readonly #generations = new Map<number, Generation>();

  constructor(options: ThreadEdgesOptions) {
    this.#options = options;
  }

  /** @throws CodedError as openEdge() */
  async open(id: number, config: ThreadConfig, {copies, hasWatch}: {readonly copies: readonly NamedServerCopy[]; readonly hasWatch: boolean}): Promise<void> {
    const {apps, ...options} = this.#options;
    const opened = openEdge({
      ...options,
      ...config,
      serverCopies: copies,
      apps: apps.access,
      watch: hasWatch ? apps.watch : null,
      clock: systemClock,
      stats: () => null,
    });
    const generation: Generation = {opened, edge: null};
    this.#generations.set(id, generation);
    try {
      generation.edge = await opened;
    } catch (error) {
      this.#generations.delete(id);
      throw error;
    }
  }

  /** In the order of the messages; those that come while the edge is being opened wait for it. */
  change(id: number, change: (edge: Edge) => void | Promise<void>): void {
    this.#generations
      .get(id)
      ?.opened.then(change)
      .catch((error: unknown) => this.#options.log.error({error: errorMessage(error)}, 'a thread could not follow a change'));
  }

  /** Carries out what is told of one generation. */
  told(message: Exclude<Extract<ToThread, {readonly generation: number}>, {readonly kind: 'open' | 'close' | 'drain'}>): void {
    switch (message.kind) {
      case 'stop-accepting':
        this.change(message.generation, (edge) => edge.stopAccepting());
        break;
      case 'server': {
        const {backend, server, copy} = message.server;
        this.change(message.generation, ({parts}) => parts.pools.get(backend)?.server(server)?.become(copy));
        break;
      }
      case 'server-added':
        this.change(message.generation, async ({parts}) => {
          const pool = parts.pools.get(message.backend);
          if (pool !== null) await parts.dynamicServers.add(pool, message.config);
        });
        break;
      case 'server-removed':
        this.change(message.generation, ({parts}) => {
          const pool = parts.pools.get(message.backend);
          const server = pool?.server(message.server) ?? null;
          if (pool !== null && server !== null) parts.dynamicServers.remove(pool, server);
        });
        break;
      case 'change':
        this.change(message.generation, (edge) => applyChange(edge, message.change));
        break;
      default:
        message satisfies never;
    }
  }

  async drain(id: number, deadlineMs: number): Promise<void> {
    await this.#edge(id).drain(deadlineMs);
  }

  async close(id: number): Promise<void> {
    const edge = this.#edge(id);
    this.#generations.delete(id);
    await edge[Symbol.asyncDispose]();
  }

  /** Of whichever generation it is. */
  cut(session: number): void {
    for (const edge of this.#edges()) for (const one of edge.sessions()) if (one.id === session) one.cut();
  }

  snapshot(sessions: boolean): ThreadSnapshot {
    const nowMs = systemClock.monotonicMs();
    const {rate} = this.#options.limit;
    const generations = [...this.#generations].flatMap(([id, {edge}]) => (edge === null ? [] : [generationSnapshot(id, edge, {nowMs, sessions})]));
    return {generations, sessionRate: rate.read(nowMs), sessionRateMax: rate.max};
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#edges()].map((edge) => edge[Symbol.asyncDispose]()));
    this.#generations.clear();
  }

  *#edges(): Generator<Edge> {
    for (const {edge} of this.#generations.values()) if (edge !== null) yield edge;
  }

  #edge(id: number): Edge {
    const edge = this.#generations.get(id)?.edge ?? null;
    if (edge === null) throw new CodedError('ERR_ASSERTION', `A thread has no generation ${id}`, {source: 'bug'});
    return edge;
  }
}
