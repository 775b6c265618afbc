import type {SessionControl} from '../admin/gateway-control.ts';
import type {Edge} from '../edge/edge.ts';

/** The sessions of all generations of the configuration. @param nowMs of Clock.monotonicMs */
export function* sessionControls(edges: readonly Edge[], nowMs: number): Generator<SessionControl> {
  for (const edge of edges) {
    for (const session of edge.sessions()) {
      const {id, protocol, source, sourcePort, frontend, backend, server, app, busy} = session;
      yield {
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
        shutdown: () => session.cut(),
      };
    }
  }
}
