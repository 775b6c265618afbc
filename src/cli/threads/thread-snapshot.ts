/** What a thread has to tell of itself when it is asked: as plain data, made where it is. */
import type {TrafficStats} from '../../admin/traffic-stats.ts';
import type {AdmissionState} from '../../edge/admission.ts';
import type {Edge} from '../../edge/edge.ts';
import type {SessionInfo} from '../../edge/frontend.ts';
import type {CapturedMessage} from '../../edge/http/message-captures.ts';
import type {Pool} from '../../edge/pool/pool.ts';
import {frontendTraffic, serverTraffic} from '../runtime-traffic.ts';

export interface NamedTraffic {
  readonly name: string;
  readonly stats: TrafficStats;
}

export interface FrontendSnapshot extends NamedTraffic {
  readonly state: AdmissionState | null;
  /** By their number in the frontend. */
  readonly listeners: ReadonlyMap<number, TrafficStats>;
  readonly tlsConnections: number;
  readonly tlsConnectionsTotal: number;
}

export interface BackendSnapshot extends NamedTraffic {
  /** Those that had sessions. */
  readonly servers: readonly NamedTraffic[];
}

/** Of one generation of the configuration. */
export interface GenerationSnapshot {
  readonly generation: number;
  readonly frontends: readonly FrontendSnapshot[];
  /** Those that had sessions. */
  readonly backends: readonly BackendSnapshot[];
  /** None where nobody has asked for them. */
  readonly sessions: readonly Omit<SessionInfo, 'cut'>[];
  readonly unreadCount: number;
  readonly unread: readonly CapturedMessage[];
}

/** @param options.nowMs of Clock.monotonicMs */
export function generationSnapshot(
  generation: number,
  edge: Edge,
  {nowMs, sessions}: {readonly nowMs: number; readonly sessions: boolean},
): GenerationSnapshot {
  const {captures, pools} = edge.parts;
  return {
    generation,
    frontends: edge.frontends.map(({name, counters, listeners, admission}) => ({
      name,
      stats: frontendTraffic(counters, nowMs),
      state: admission?.state ?? null,
      listeners: new Map(listeners.map((listener) => [listener.number, frontendTraffic(listener.counters, nowMs)])),
      tlsConnections: counters.tlsConnections,
      tlsConnectionsTotal: counters.tlsConnectionsTotal,
    })),
    backends: [...pools.list()].filter((pool) => pool.sessions() > 0 || pool.counted.sessionsTotal > 0).map((pool) => backendSnapshot(pool, nowMs)),
    sessions: (sessions ? [...edge.sessions()] : []).map(factsOf),
    unreadCount: captures.count,
    unread: captures.list(),
  };
}

function backendSnapshot(pool: Pool, nowMs: number): BackendSnapshot {
  const {name, counted, queued, servers} = pool;
  const busy = servers.filter((server) => server.sessions.size > 0 || server.counted.sessionsTotal > 0);
  return {
    name,
    stats: serverTraffic(counted, {sessions: pool.sessions(), queued: servers.reduce((sum, {queue}) => sum + queue.size, queued), nowMs}),
    servers: busy.map((server) => ({
      name: server.name,
      stats: serverTraffic(server.counted, {sessions: server.sessions.size, queued: server.queue.size, nowMs}),
    })),
  };
}

function factsOf(session: SessionInfo): Omit<SessionInfo, 'cut'> {
  const {id, frontend, protocol, backend, server, app, source, sourcePort, startedMs, lastActivityMs, busy} = session;
  return {id, frontend, protocol, backend, server, app, source, sourcePort, startedMs, lastActivityMs, busy};
}
