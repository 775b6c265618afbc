/** What a log line tells of a request: what its transaction knows, and how busy everybody was. */
import type {Counters} from '../counters.ts';
import type {EdgeParts} from '../edge-parts.ts';
import type {SessionRecord} from '../logs/session-record.ts';
import type {RequestRecord} from './session-record.ts';

export function httpRecord({
  record: {retries, redispatched, logLevel: _logLevel, reason: _reason, ...record},
  counters,
  parts: {pools},
  lineNumber,
}: {
  readonly record: RequestRecord;
  readonly counters: Readonly<Counters>;
  readonly parts: Pick<EdgeParts, 'pools'>;
  readonly lineNumber: number;
}): SessionRecord {
  const pool = record.backend === null ? null : pools.get(record.backend);
  const server = record.server === null ? null : (pool?.server(record.server) ?? null);
  return {
    ...record,
    counts: {
      process: counters.sessions,
      frontend: counters.sessions,
      backend: pool?.sessions() ?? 0,
      server: server?.sessions.size ?? 0,
      retries,
      redispatched,
      serverQueue: 0,
      backendQueue: 0,
    },
    lineNumber,
  };
}
