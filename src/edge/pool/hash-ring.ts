/**
 * Consistent hashing as HAProxy does it: each server has places on a ring of 2^32, sixteen per unit of weight, which depend on nothing but its
 * number. A key goes to the place next to its hash, on either side. A server that leaves takes only its own places along.
 */
import {avalanche} from './hash-function.ts';
import type {BalancedServer, TriedServers} from './server-choice.ts';

/** Numbers of places that a server can have at most: the step between two servers' numbers. */
const placesPerServer = 4096;

export class HashRing<S extends BalancedServer> {
  #places: Uint32Array = new Uint32Array(0);
  /** Of each place. */
  #servers: readonly S[] = [];

  update(servers: readonly S[]): void {
    const nodes = servers.flatMap((server) =>
      Array.from({length: server.effectiveWeight}, (_, index) => ({place: avalanche(server.id * placesPerServer + index), server})),
    );
    nodes.sort((a, b) => a.place - b.place);
    this.#places = Uint32Array.from(nodes, ({place}) => place);
    this.#servers = nodes.map(({server}) => server);
  }

  find(hash: number, {dead, previous}: TriedServers<S>): S | null {
    const {length} = this.#places;
    if (length === 0) return null;
    const start = this.#nearest(hash);
    let fallback: S | null = null;
    for (let step = 0; step < length; step++) {
      const server = this.#servers[(start + step) % length];
      if (server === undefined || dead.has(server)) continue;
      if (server !== previous) return server;
      fallback = server;
    }
    return fallback;
  }

  #nearest(hash: number): number {
    const {length} = this.#places;
    let low = 0;
    let high = length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#places[middle] ?? 0) < hash) low = middle + 1;
      else high = middle;
    }
    const next = low % length;
    const before = (next + length - 1) % length;
    const distanceBefore = (hash - (this.#places[before] ?? 0)) >>> 0;
    const distanceNext = ((this.#places[next] ?? 0) - hash) >>> 0;
    return distanceBefore <= distanceNext ? before : next;
  }
}
