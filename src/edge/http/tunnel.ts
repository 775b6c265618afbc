/** Connections that are no longer HTTP: WebSocket and other upgrades, and CONNECT. */
import type {Clock} from '../../core/clock.ts';
import type {Counters} from '../counters.ts';
import {Relay} from '../relay.ts';
import type {Tunnel} from './message.ts';
import type {Transaction} from './transaction.ts';

export interface TunnelOptions {
  readonly client: Tunnel;
  readonly server: Tunnel;
  readonly timeouts: {readonly clientMs: number; readonly serverMs: number; readonly clientFinMs: number | null; readonly serverFinMs: number | null};
  readonly clock: Clock;
  readonly counters: Counters;
  /** Both are closed: in order, or since the client or the server was silent for too long, as the log says it. */
  readonly ended: (termination: '--' | 'cD' | 'sD') => void;
}

export function tunnelTimeouts({timeouts, frontend, destination}: Transaction): TunnelOptions['timeouts'] {
  const [client, server] = [frontend.config, destination?.config];
  const tunnelMs = timeouts.tunnel ?? server?.tunnelTimeoutMs ?? client.tunnelTimeoutMs;
  return {
    clientMs: tunnelMs ?? timeouts.client ?? client.clientTimeoutMs,
    serverMs: tunnelMs ?? timeouts.server ?? server?.serverTimeoutMs ?? client.clientTimeoutMs,
    clientFinMs: client.clientFinTimeoutMs,
    serverFinMs: server?.serverFinTimeoutMs ?? null,
  };
}

/** Joins both connections until they end. What each side said already goes first. */
export function openTunnel({client, server, timeouts, clock, counters, ended}: TunnelOptions): void {
  let termination: '--' | 'cD' | 'sD' = '--';
  let open = 2;
  const closed = (): void => {
    client.socket.destroySoon();
    server.socket.destroySoon();
    if (--open > 0) return;
    relay.stop();
    ended(termination);
  };
  if (server.head.length > 0) server.socket.unshift(server.head);
  if (client.head.length > 0) client.socket.unshift(client.head);
  client.socket.once('close', closed);
  server.socket.once('close', closed);
  const relay = new Relay({
    client: client.socket,
    server: server.socket,
    firstBytes: null,
    inspection: null,
    clientTimeoutMs: timeouts.clientMs,
    serverTimeoutMs: timeouts.serverMs,
    clientFinTimeoutMs: timeouts.clientFinMs,
    serverFinTimeoutMs: timeouts.serverFinMs,
    tunnelTimeoutMs: null,
    clock,
    counters,
    onBusy: () => {
      // An upgraded connection keeps its app for as long as it is open.
    },
    onTimeout: (side) => {
      counters.timeouts++;
      termination = side === 'client' ? 'cD' : 'sD';
      client.socket.destroy();
      server.socket.destroy();
    },
  });
}
