import type {SessionControl} from '../admin/gateway-control.ts';
import type {Edge} from '../edge/edge.ts';
import type {SessionInfo} from '../edge/frontend.ts';
import type {EdgeThreads} from './threads/edge-threads.ts';

/** The sessions of all generations of the configuration, in all threads. @param nowMs of Clock.monotonicMs, which is the same in all of them */
export function* sessionControls(edges: readonly Edge[], threads: EdgeThreads, nowMs: number): Generator<SessionControl> {
  for (const edge of edges) for (const session of edge.sessions()) yield sessionControl(session, () => session.cut(), nowMs);
  for (const {generations} of threads.snapshots()) {
    for (const {sessions} of generations) for (const session of sessions) yield sessionControl(session, () => threads.cut(session.id), nowMs);
  }
}

function sessionControl(session: Omit<SessionInfo, 'cut'>, shutdown: () => void, nowMs: number): SessionControl {
  const {id, protocol, source, sourcePort, frontend, backend, server, app, busy} = session;
  return {
    id,
    protocol,
    source: source.includes(':') ? `[${source}]:${sourcePort}` : `${source}:${sourcePort}`,
    frontend,
    backend,
    server,
    app,
    ageMs: nowMs - session.startedMs,
    idleMs: nowMs - session.lastActivityMs,
    busy,
    shutdown,
  };
}
