/** A table in which each server has as many places as it has weight, evenly spread: for `static-rr`, and for hashes of type `map-based`. */
import type {BalancedServer, Chooser, TriedServers} from './server-choice.ts';

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/**
 * The same table as HAProxy's: in each round every server gains its weight, and the first one that has gained most of whole rounds takes the
 * place, and pays for it with the sum of all weights.
 */
export function serverMap<S extends BalancedServer>(servers: readonly S[], divisor: number): readonly S[] {
  const entries = servers.map((server) => ({server, gain: Math.ceil(server.weight / divisor), score: 0}));
  const total = entries.reduce((sum, {gain}) => sum + gain, 0);
  const map: S[] = [];
  for (let place = 0; place < total; place++) {
    let best = entries[0];
    let bestRounds = 0;
    for (const entry of entries) {
      entry.score += entry.gain;
      const rounds = Math.trunc((entry.score + total) / total);
      if (rounds <= bestRounds) continue;
      best = entry;
      bestRounds = rounds;
    }
    if (best === undefined) break;
    best.score -= total;
    map.push(best.server);
  }
  return map;
}

/** By what all configured weights can be divided: the map is smaller by that. */
export function weightDivisor(servers: readonly BalancedServer[]): number {
  return Math.max(1, servers.map(({weight}) => weight).reduce(greatestCommonDivisor, 0));
}

/** The server of a hash; a dead one is replaced by the next in the map. */
export class HashMap<S extends BalancedServer> {
  readonly #divisor: number;
  #map: readonly S[] = [];

  constructor(divisor: number) {
    this.#divisor = divisor;
  }

  update(servers: readonly S[]): void {
    this.#map = serverMap(servers, this.#divisor);
  }

  find(hash: number, {dead}: TriedServers<S>): S | null {
    const {length} = this.#map;
    for (let step = 0; step < length; step++) {
      const server = this.#map[(hash + step) % length];
      if (server !== undefined && !dead.has(server)) return server;
    }
    return null;
  }
}

export function staticRoundRobin<S extends BalancedServer>(divisor: number): Chooser<S, unknown> {
  let map: readonly S[] = [];
  let turn = 0;
  return {
    update(servers) {
      map = serverMap(servers, divisor);
    },
    choose(_request, {dead, previous}) {
      let fallback: S | null = null;
      for (let step = 0; step < map.length; step++) {
        const place = (turn + step) % map.length;
        const server = map[place];
        if (server === undefined || dead.has(server) || !server.hasRoom()) continue;
        if (server === previous) {
          fallback = server;
          continue;
        }
        turn = place + 1;
        return server;
      }
      return fallback;
    },
  };
}
