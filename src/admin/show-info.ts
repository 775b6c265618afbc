/** `show info`: what is known of the process, under HAProxy's names and numbers. */
import {type FieldDefinition, jsonField, oneLine, typedField} from './field.ts';
import type {ProcessFacts} from './gateway-control.ts';

type InfoField = readonly [position: number, name: string, tags: string, type: FieldDefinition['type'], value: (facts: ProcessFacts) => string | number];

const zero = (): number => 0;

/** HAProxy's, with 0 for what has no meaning here. Positions that are not there are those that HAProxy leaves out too. */
const infoFields: readonly InfoField[] = [
  [0, 'Name', 'POS', 'str', () => 'HAProxy'],
  [1, 'Version', 'POS', 'str', ({version}) => version],
  [2, 'Release_date', 'POS', 'str', ({releaseDate}) => releaseDate],
  [3, 'Nbthread', 'CGS', 'u32', ({threads}) => threads.length],
  [4, 'Nbproc', 'CGS', 'u32', () => 1],
  [5, 'Process_num', 'KGP', 'u32', () => 1],
  [6, 'Pid', 'SGP', 'u32', ({pid}) => pid],
  [7, 'Uptime', 'MDP', 'str', (facts) => showUptime(uptimeSeconds(facts))],
  [8, 'Uptime_sec', 'MDP', 'u32', (facts) => uptimeSeconds(facts)],
  [9, 'Memmax_MB', 'CLP', 'u32', zero],
  [10, 'PoolAlloc_MB', 'MGP', 'u32', () => Math.trunc(process.memoryUsage.rss() / 2 ** 20)],
  [11, 'PoolUsed_MB', 'MGP', 'u32', () => Math.trunc(process.memoryUsage().heapUsed / 2 ** 20)],
  [12, 'PoolFailed', 'MCP', 'u32', zero],
  [13, 'Ulimit-n', 'CLP', 'u32', ({hardMaxconn}) => 2 * hardMaxconn + 32],
  [14, 'Maxsock', 'CLP', 'u32', ({hardMaxconn}) => 2 * hardMaxconn + 32],
  [15, 'Maxconn', 'CLP', 'u32', ({maxconn}) => maxconn],
  [16, 'Hard_maxconn', 'CLP', 'u32', ({hardMaxconn}) => hardMaxconn],
  [17, 'CurrConns', 'MGP', 'u32', ({connections}) => connections],
  [18, 'CumConns', 'MCP', 'u32', ({connectionsTotal}) => connectionsTotal],
  [19, 'CumReq', 'MCP', 'u32', ({requestsTotal}) => requestsTotal],
  [20, 'MaxSslConns', 'MMP', 'u32', zero],
  [21, 'CurrSslConns', 'MGP', 'u32', ({tlsConnections}) => tlsConnections],
  [22, 'CumSslConns', 'MCP', 'u32', ({tlsConnectionsTotal}) => tlsConnectionsTotal],
  [23, 'Maxpipes', 'CLP', 'u32', zero],
  [24, 'PipesUsed', 'MGP', 'u32', zero],
  [25, 'PipesFree', 'MGP', 'u32', zero],
  [26, 'ConnRate', 'MRP', 'u32', ({sessionRate}) => sessionRate],
  [27, 'ConnRateLimit', 'CLP', 'u32', zero],
  [28, 'MaxConnRate', 'MMP', 'u32', ({sessionRateMax}) => sessionRateMax],
  [29, 'SessRate', 'MRP', 'u32', ({sessionRate}) => sessionRate],
  [30, 'SessRateLimit', 'CLP', 'u32', zero],
  [31, 'MaxSessRate', 'MRP', 'u32', ({sessionRateMax}) => sessionRateMax],
  [32, 'SslRate', 'MRP', 'u32', zero],
  [33, 'SslRateLimit', 'CLP', 'u32', zero],
  [34, 'MaxSslRate', 'MMP', 'u32', zero],
  [35, 'SslFrontendKeyRate', 'MGP', 'u32', zero],
  [36, 'SslFrontendMaxKeyRate', 'MMP', 'u32', zero],
  [37, 'SslFrontendSessionReuse_pct', 'MGP', 'u32', zero],
  [38, 'SslBackendKeyRate', 'MRP', 'u32', zero],
  [39, 'SslBackendMaxKeyRate', 'MMP', 'u32', zero],
  [40, 'SslCacheLookups', 'MCP', 'u32', zero],
  [41, 'SslCacheMisses', 'MCP', 'u32', zero],
  [42, 'CompressBpsIn', 'MRP', 'u32', zero],
  [43, 'CompressBpsOut', 'MRP', 'u32', zero],
  [44, 'CompressBpsRateLim', 'CLP', 'u32', zero],
  [47, 'Tasks', 'MGP', 'u32', zero],
  [48, 'Run_queue', 'MGP', 'u32', zero],
  [49, 'Idle_pct', 'MaP', 'u32', () => Math.round(100 * (1 - performance.eventLoopUtilization().utilization))],
  [50, 'node', 'COS', 'str', ({nodeName}) => nodeName],
  [51, 'description', 'COS', 'str', ({description}) => description ?? ''],
  [52, 'Stopping', 'MGP', 'u32', ({stopping}) => (stopping ? 1 : 0)],
  [53, 'Jobs', 'MGP', 'u32', ({connections, listeners}) => connections + listeners],
  [54, 'Unstoppable Jobs', 'MGP', 'u32', zero],
  [55, 'Listeners', 'MGP', 'u32', ({listeners}) => listeners],
  [56, 'ActivePeers', 'MGP', 'u32', zero],
  [57, 'ConnectedPeers', 'MGP', 'u32', zero],
  [58, 'DroppedLogs', 'MGP', 'u32', zero],
  [59, 'BusyPolling', 'MGP', 'u32', zero],
  [60, 'FailedResolutions', 'MGP', 'u32', zero],
  [61, 'TotalBytesOut', 'MGP', 'u64', ({bytesOut}) => bytesOut],
  // HAProxy's spelling.
  [62, 'TotalSplicdedBytesOut', 'MGP', 'u64', zero],
  [63, 'BytesOutRate', 'MRP', 'u64', zero],
  [64, 'DebugCommandsIssued', 'MGP', 'u32', zero],
  [65, 'CumRecvLogs', 'MCP', 'u32', zero],
  [66, 'Build info', 'POS', 'str', ({version}) => version],
  [67, 'Memmax_bytes', 'CLP', 'u32', zero],
  [68, 'PoolAlloc_bytes', 'MGP', 'u64', () => process.memoryUsage.rss()],
  [69, 'PoolUsed_bytes', 'MGP', 'u64', () => process.memoryUsage().heapUsed],
  [70, 'Start_time_sec', 'MDP', 'u32', ({startedAtMs}) => Math.trunc(startedAtMs / 1000)],
  [71, 'Tainted', 'SGP', 'str', () => '0'],
];

export type InfoForm = 'plain' | 'typed' | 'json';

export function showInfo(facts: ProcessFacts, form: InfoForm): string {
  const known = infoFields.filter(([, name]) => name !== 'description' || facts.description !== null);
  const fields = known.map(([position, name, tags, type, value]) => ({field: {position, name, tags, type}, value: value(facts)}));
  switch (form) {
    case 'plain':
      return fields.map(({field, value}) => `${field.name}: ${oneLine(value)}\n`).join('');
    case 'typed':
      return fields.map(({field, value}) => `${typedField(field, value)}\n`).join('');
    case 'json':
      return `${JSON.stringify(fields.map(({field, value}) => jsonField(field, value)))}\n`;
    default:
      return form satisfies never;
  }
}

function uptimeSeconds({startedAtMs}: ProcessFacts): number {
  return Math.max(0, Math.trunc((Date.now() - startedAtMs) / 1000));
}

/** `0d 0h00m33s` */
export function showUptime(seconds: number): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${Math.trunc(seconds / 86_400)}d ${Math.trunc(seconds / 3600) % 24}h${two(Math.trunc(seconds / 60) % 60)}m${two(seconds % 60)}s`;
}
