/** The algorithms of `balance` (HAProxy manual). All but those that hash pass over servers that are full. */
import type {BackendConfig} from '../../config/proxy-value.ts';
import {type BalanceRequest, balanceHash} from './hash-key.ts';
import {HashRing} from './hash-ring.ts';
import type {BalancedServer, Chooser, TriedServers} from './server-choice.ts';
import {HashMap, staticRoundRobin, weightDivisor} from './server-map.ts';

/** @param servers all of the backend, usable or not */
export function createChooser<S extends BalancedServer>(config: Pick<BackendConfig, 'balance' | 'hash'>, servers: readonly S[]): Chooser<S, BalanceRequest> {
  const {balance} = config;
  switch (balance.kind) {
    case 'roundrobin':
      return new RoundRobin();
    case 'static-rr':
      return staticRoundRobin(weightDivisor(servers));
    case 'leastconn':
      return leastConnections();
    case 'first':
      return firstWithRoom();
    case 'random':
      return randomOf(balance.draws);
    case 'source':
    case 'uri':
    case 'url_param':
    case 'hdr':
    case 'hash':
      return byHash(config, servers);
    default:
      return balance satisfies never;
  }
}

/** The best by `isBetter` of those with room; the one tried before only when there is no other. */
function best<S extends BalancedServer>(servers: readonly S[], {dead, previous}: TriedServers<S>, isBetter: (candidate: S, than: S) => boolean): S | null {
  let found: S | null = null;
  for (const server of servers) {
    if (server === previous || dead.has(server) || !server.hasRoom()) continue;
    if (found === null || isBetter(server, found)) found = server;
  }
  if (found !== null || previous === null) return found;
  return servers.includes(previous) && !dead.has(previous) && previous.hasRoom() ? previous : null;
}

/** Smooth: the turns of a heavy server are spread among those of the others. */
class RoundRobin<S extends BalancedServer> implements Chooser<S, unknown> {
  #servers: readonly S[] = [];
  /** By the server's number: what it has gained and not yet spent. Undefined in thousands of backends to which nobody comes. */
  #scores: Map<number, number> | undefined;

  update(usable: readonly S[]): void {
    this.#servers = usable;
    for (const id of this.#scores?.keys() ?? []) if (!usable.some((server) => server.id === id)) this.#scores?.delete(id);
  }

  choose(_request: unknown, tried: TriedServers<S>): S | null {
    this.#scores ??= new Map();
    const scores = this.#scores;
    const score = (server: S): number => (scores.get(server.id) ?? 0) + server.effectiveWeight;
    const chosen = best(this.#servers, tried, (candidate, than) => score(candidate) > score(than));
    if (chosen === null) return null;
    let total = 0;
    for (const server of this.#servers) {
      if (!server.hasRoom()) continue;
      total += server.effectiveWeight;
      scores.set(server.id, score(server));
    }
    scores.set(chosen.id, (scores.get(chosen.id) ?? 0) - total);
    return chosen;
  }
}

/** The least loaded for its weight; among equals the one whose last turn was longest ago. */
function leastConnections<S extends BalancedServer>(): Chooser<S, unknown> {
  let servers: readonly S[] = [];
  let turn = 0;
  const lastTurns = new Map<number, number>();
  const key = ({load, effectiveWeight}: S): number => (load === 0 ? 0 : (load + 1) / effectiveWeight);
  const isBetter = (candidate: S, than: S): boolean => {
    const difference = key(candidate) - key(than);
    return difference < 0 || (difference === 0 && (lastTurns.get(candidate.id) ?? 0) < (lastTurns.get(than.id) ?? 0));
  };
  return {
    update(usable) {
      servers = usable;
    },
    choose(_request, tried) {
      const chosen = best(servers, tried, isBetter);
      if (chosen !== null) lastTurns.set(chosen.id, ++turn);
      return chosen;
    },
  };
}

/** As few servers as possible have sessions; of apps, one that is awake comes before one that sleeps. */
function firstWithRoom<S extends BalancedServer>(): Chooser<S, unknown> {
  let servers: readonly S[] = [];
  const isBetter = (candidate: S, than: S): boolean => candidate.isAwake && !than.isAwake;
  return {
    update(usable) {
      servers = usable;
    },
    choose: (_request, tried) => best(servers, tried, isBetter),
  };
}

/** The least loaded of `draws` that are drawn by weight; when that one is full, the session waits for any. */
function randomOf<S extends BalancedServer>(draws: number): Chooser<S, unknown> {
  let servers: readonly S[] = [];
  const draw = ({dead, previous}: TriedServers<S>): S | null => {
    const others = servers.filter((server) => !dead.has(server) && server !== previous);
    const candidates = others.length > 0 ? others : servers.filter((server) => !dead.has(server));
    let rest = Math.random() * candidates.reduce((sum, {effectiveWeight}) => sum + effectiveWeight, 0);
    for (const server of candidates) {
      rest -= server.effectiveWeight;
      if (rest < 0) return server;
    }
    return null;
  };
  return {
    update(usable) {
      servers = usable;
    },
    choose(_request, tried) {
      let chosen = draw(tried);
      for (let count = 1; count < draws && chosen !== null; count++) {
        const other = draw(tried);
        if (other !== null && other.load * chosen.effectiveWeight < chosen.load * other.effectiveWeight) chosen = other;
      }
      return chosen?.hasRoom() === true ? chosen : null;
    },
  };
}

/** A key sticks to its server even when that is full; a session without key takes its turn. */
function byHash<S extends BalancedServer>(config: Pick<BackendConfig, 'balance' | 'hash'>, all: readonly S[]): Chooser<S, BalanceRequest> {
  const hashOf = balanceHash(config);
  const places = config.hash.kind === 'consistent' ? new HashRing<S>() : new HashMap<S>(weightDivisor(all));
  const inTurn = new RoundRobin<S>();
  let servers: readonly S[] = [];
  return {
    update(usable) {
      servers = usable;
      places.update(usable);
      inTurn.update(usable);
    },
    choose(request, tried) {
      const [only] = servers;
      if (servers.length === 1 && only !== undefined) return tried.dead.has(only) ? null : only;
      const hash = hashOf?.(request) ?? null;
      return hash === null ? inTurn.choose(request, tried) : places.find(hash, tried);
    },
  };
}
