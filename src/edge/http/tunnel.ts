/** Connections that are no longer HTTP: WebSocket and other upgrades, and CONNECT. */
import type {Clock} from '../../core/clock.ts';
import type {Counters} from '../counters.ts';
import {Relay} from '../relay.ts';
import {applyAfterResponse, applyContentRules, applyResponseRules} from './answer.ts';
import type {HttpParts} from './http-parts.ts';
import type {ClientStream, ResponseHead, Tunnel} from './message.ts';
import type {LocalReply} from './reply.ts';
import type {Transaction} from './transaction.ts';

interface TunnelOptions {
  readonly client: Tunnel;
  readonly server: Tunnel;
  readonly timeouts: {readonly clientMs: number; readonly serverMs: number; readonly clientFinMs: number | null; readonly serverFinMs: number | null};
  readonly clock: Clock;
  readonly counters: Counters;
  /** Both are closed: in order, or since the client or the server was silent for too long, as the log says it. */
  readonly ended: (termination: '--' | 'cD' | 'sD', bytes: Pick<Relay, 'bytesFromClient' | 'bytesFromServer'>) => void;
}

function tunnelTimeouts({timeouts, frontend, destination}: Transaction): TunnelOptions['timeouts'] {
  const [client, server] = [frontend.config, destination?.config];
  const tunnelMs = timeouts.tunnel ?? server?.tunnelTimeoutMs ?? client.tunnelTimeoutMs;
  return {
    clientMs: tunnelMs ?? timeouts.client ?? client.clientTimeoutMs,
    serverMs: tunnelMs ?? timeouts.server ?? server?.serverTimeoutMs ?? client.clientTimeoutMs,
    clientFinMs: client.clientFinTimeoutMs,
    serverFinMs: server?.serverFinTimeoutMs ?? null,
  };
}

export interface JoinOptions {
  readonly client: Tunnel;
  readonly server: Tunnel;
  readonly transaction: Transaction;
  readonly parts: Pick<HttpParts, 'clock' | 'counters'>;
  readonly ended: (termination: '--' | 'cD' | 'sD') => void;
}

export function joinTunnel({client, server, transaction, parts, ended}: JoinOptions): void {
  const {clock, counters} = parts;
  if (transaction.isServerClosed) {
    transaction.bytesOut += server.head.length;
    endTunnel(client, server);
    ended('--');
    return;
  }
  openTunnel({
    client,
    server,
    timeouts: tunnelTimeouts(transaction),
    clock,
    counters,
    ended(termination, {bytesFromClient, bytesFromServer}) {
      transaction.bytesIn += bytesFromClient;
      transaction.bytesOut += bytesFromServer;
      ended(termination);
    },
  });
}

/** What rules say to it, or else that the client has not asked for it. */
interface Refusal {
  readonly reply: LocalReply;
  readonly termination: string;
  readonly reason: string | null;
}

/** The rules about an answer; then the client is told that the server has switched. */
export function switchClient(client: ClientStream, transaction: Transaction, head: ResponseHead): Tunnel | Refusal {
  transaction.response = head;
  const verdict = applyContentRules(transaction, head) ?? applyResponseRules(transaction, head);
  if (verdict?.kind === 'reply') return verdict;
  applyAfterResponse(transaction, head);
  transaction.status = head.status;
  const tunnel = client.tunnel(head);
  if (tunnel === null) {
    return {reply: transaction.errorPage(502), termination: 'PH', reason: 'the server switched to another protocol than the client had asked for'};
  }
  transaction.bytesOut += tunnel.sentBytes;
  return tunnel;
}

/** The client gets what the server has said already, and that is all. */
function endTunnel(client: Tunnel, server: Tunnel): void {
  if (server.head.length > 0) client.socket.write(server.head);
  client.socket.destroySoon();
  server.socket.destroy();
}

/** Joins both connections until they end. What each side said already goes first. */
function openTunnel({client, server, timeouts, clock, counters, ended}: TunnelOptions): void {
  let termination: '--' | 'cD' | 'sD' = '--';
  let open = 2;
  const closed = (): void => {
    client.socket.destroySoon();
    server.socket.destroySoon();
    if (--open > 0) return;
    relay.stop();
    ended(termination, relay);
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
    clock,
    counters,
    onBusy: () => {
      // An upgraded connection keeps its app for as long as it is open.
    },
    onTimeout: (side) => {
      counters.timeouts++;
      termination = side === 'client' ? 'cD' : 'sD';
    },
  });
}
