/** What a log line tells of a session of a stream (HAProxy's manual, sections 8.2.2 and 8.5). */
import {plainAddress} from './addresses.ts';
import type {Counters} from './counters.ts';
import type {CutCause} from './cuttable.ts';
import type {SessionRecord} from './logs/session-record.ts';
import {connectionCount} from './numbers.ts';
import type {AssignedServer, Assignment} from './pool/assignment.ts';
import type {Pool} from './pool/pool.ts';
import {probeServer} from './probes/probe-rules.ts';
import type {SocketFacts} from './session/connection-facts.ts';
import type {ByteStream} from './streams/byte-stream.ts';

/**
 * The first two characters of the termination state: who ended it (the client `C`, its time-out `c`, the server `S`, `s`, the proxy `P`, the
 * proxy that answers a health check `L`, an operator `K`, the state of its server or of others `D` and `U`; `-` is a good end), and in which phase (`R`ules, `Q`ueue, `C`onnect, `D`ata).
 */
export interface TcpEnd {
  readonly cause: 'C' | 'c' | 'S' | 's' | 'P' | 'L' | CutCause | '-';
  readonly phase: 'R' | 'Q' | 'C' | 'D' | '-';
}

/** Of a session that was refused, which is counted. */
export function refusalEnd(code: string | undefined, counters: Counters): TcpEnd {
  if (code === 'ERR_QUEUE_FULL' || code === 'ERR_WAKE_RATE' || code === 'ERR_NO_BACKEND') counters.refused++;
  else if (code === 'ERR_CONNECT') counters.connectFailures++;
  else counters.wakeFailures++;
  return {
    cause: code === 'ERR_CONNECT_TIMEOUT' || code === 'ERR_QUEUE_TIMEOUT' ? 's' : 'S',
    phase: code === 'ERR_QUEUE_TIMEOUT' || code === 'ERR_QUEUE_FULL' ? 'Q' : 'C',
  };
}

export interface TcpTimes {
  waitMs: number | null;
  connectMs: number | null;
}

export interface TcpFacts {
  readonly facts: SocketFacts;
  readonly times: Readonly<TcpTimes> & {readonly handshakeMs: number; readonly totalMs: number};
  readonly pool: Pool | null;
  readonly server: AssignedServer | null;
  /** To the server. */
  readonly socket: ByteStream | null;
  readonly assignment: Assignment | null;
  /** Of the frontend. */
  readonly sessions: number;
  readonly bytes: {readonly fromClient: number; readonly toClient: number};
  readonly end: TcpEnd;
  readonly lineNumber: number;
}

export function tcpRecord({facts, times, pool, server, socket, assignment, sessions, bytes, end, lineNumber}: TcpFacts): SessionRecord {
  const endpoint = assignment?.endpoint ?? null;
  return {
    times: {
      acceptedAtMs: facts.acceptedAtMs,
      requestAtMs: facts.acceptedAtMs,
      handshakeMs: Math.round(times.handshakeMs),
      idleMs: null,
      requestMs: null,
      waitMs: rounded(times.waitMs),
      connectMs: rounded(times.connectMs),
      responseMs: null,
      activeMs: Math.round(times.totalMs),
      totalMs: Math.round(times.totalMs),
    },
    counts: {
      process: sessions,
      frontend: sessions,
      backend: pool?.sessions() ?? 0,
      server: server?.sessions.size ?? 0,
      retries: assignment?.retries ?? 0,
      redispatched: assignment?.hasLeft ?? false,
      serverQueue: 0,
      backendQueue: 0,
    },
    requestNumber: connectionCount(),
    lineNumber,
    backend: pool?.name ?? null,
    server: end.cause === 'L' ? probeServer : (server?.name ?? null),
    serverAddress: endpoint === null ? null : {host: endpoint.host, port: endpoint.port},
    backendSource: socket?.localAddress === undefined ? null : {host: plainAddress(socket.localAddress), port: socket.localPort ?? 0},
    request: null,
    status: 0,
    bytesFromServer: bytes.toClient,
    bytesFromClient: bytes.fromClient,
    termination: `${end.cause}${end.phase}--`,
    requestCookie: null,
    responseCookie: null,
    wake: wakeOf(assignment),
  };
}

/** Null when the session was not held for one. */
function wakeOf(assignment: Assignment | null): SessionRecord['wake'] {
  const waking = assignment?.waking ?? null;
  return waking === null ? null : {...waking, ms: Math.round(assignment?.wakeMs ?? 0)};
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms);
}
