/** What `show info` tells of all frontends of a thread. */
import type {Edge} from '../../edge/edge.ts';
import type {ThreadSnapshot} from './thread-messages.ts';

export interface Counted {
  readonly connections: number;
  readonly connectionsTotal: number;
  readonly requestsTotal: number;
  readonly tlsConnections: number;
  readonly tlsConnectionsTotal: number;
  readonly bytesOut: number;
}

const nothing: Counted = {connections: 0, connectionsTotal: 0, requestsTotal: 0, tlsConnections: 0, tlsConnectionsTotal: 0, bytesOut: 0};

/** Of the first thread. */
export function countedHere(edges: readonly Edge[]): Counted {
  const counters = edges.flatMap(({frontends}) => frontends.map((frontend) => frontend.counters));
  return sum(counters.map(({sessions, accepted, ...others}) => ({...others, connections: sessions, connectionsTotal: accepted})));
}

export function countedThere({generations}: ThreadSnapshot): Counted {
  const frontends = generations.flatMap((generation) => generation.frontends);
  return sum(frontends.map(({stats, ...tls}) => ({...stats, ...tls, connections: stats.sessions})));
}

function sum(parts: readonly Counted[]): Counted {
  return parts.reduce(
    (total, part) => ({
      connections: total.connections + part.connections,
      connectionsTotal: total.connectionsTotal + part.connectionsTotal,
      requestsTotal: total.requestsTotal + part.requestsTotal,
      tlsConnections: total.tlsConnections + part.tlsConnections,
      tlsConnectionsTotal: total.tlsConnectionsTotal + part.tlsConnectionsTotal,
      bytesOut: total.bytesOut + part.bytesOut,
    }),
    nothing,
  );
}
