/** An agent check: one line of an agent, which says what its server can do (HAProxy manual, `agent-check`). */
import type {BackendConfig, ServerConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import {type CheckAddress, type CheckServices, openCheckConnection} from './check-connection.ts';
import {CheckFailure} from './check-failure.ts';
import type {CheckResult} from './check-result.ts';

/** What a line says, as it says it; null: nothing of the kind. Of several words of a kind the last one counts. */
export interface AgentWords {
  readonly health: {readonly isUp: boolean; readonly word: string} | null;
  readonly admin: 'ready' | 'drain' | 'maint' | null;
  /** `75%`, and what stands behind `maxconn:`, not looked at yet. */
  readonly weight: string | null;
  readonly maxconn: string | null;
  /** The first word that is none of these. */
  readonly unknown: string | null;
  /** What stands behind `#`. */
  readonly reason: string;
}

export type AgentAnswer =
  | {readonly kind: 'words'; readonly words: AgentWords; readonly durationMs: number}
  /** A line without an end. */
  | {readonly kind: 'incomplete'; readonly durationMs: number}
  /** There was no answer. */
  | {readonly kind: 'failed'; readonly result: CheckResult};

export interface AgentRequest {
  readonly config: ServerConfig;
  readonly address: CheckAddress;
  readonly intervalMs: number;
  /** What the agent is sent; may be empty. */
  readonly send: string;
  readonly backend: Pick<BackendConfig, 'checkTimeoutMs' | 'connectTimeoutMs'>;
  readonly services: CheckServices;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** @throws the reason of the signal; whatever else goes wrong is an answer */
export async function askAgent(request: AgentRequest): Promise<AgentAnswer> {
  const {config, backend, intervalMs, clock, signal} = request;
  const startedMs = clock.monotonicMs();
  const {checkTimeoutMs, connectTimeoutMs} = backend;
  try {
    using connection = await openCheckConnection({
      ...request,
      server: config,
      tls: null,
      lingers: false,
      sendProxy: false,
      connectTimeoutMs: checkTimeoutMs === null ? intervalMs : Math.min(connectTimeoutMs, intervalMs),
    });
    if (request.send !== '') connection.send(Buffer.from(request.send, 'latin1'));
    const judge = (): {readonly line: string | null} | null => {
      const {received, ended} = connection;
      const line = /^[^\r\n]*(?=[\r\n])/.exec(received.toString('latin1'));
      if (line !== null) return {line: line[0]};
      if (ended && received.length === 0) throw new CheckFailure('L7RSP', 'TCPCHK got an empty response at step 2');
      return ended ? {line: null} : null;
    };
    const {line} = await connection.receive(judge, checkTimeoutMs ?? Math.max(1, startedMs + intervalMs - clock.monotonicMs()));
    const durationMs = clock.monotonicMs() - startedMs;
    return line === null ? {kind: 'incomplete', durationMs} : {kind: 'words', words: readAgentLine(line), durationMs};
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof CheckFailure)) throw error;
    return {kind: 'failed', result: {...error.finding, durationMs: clock.monotonicMs() - startedMs}};
  }
}

/** @param line without its end */
export function readAgentLine(line: string): AgentWords {
  const [, said = '', comment = ''] = /^((?:[\t ,]*[^\t ,#][^\t ,]*)*)[\t ,]*(?:#[\t ]*(.*))?$/.exec(line) ?? [];
  let health: AgentWords['health'] = null;
  let admin: AgentWords['admin'] = null;
  let weight: string | null = null;
  let maxconn: string | null = null;
  let unknown: string | null = null;
  for (const word of said.split(/[\t ,]+/).filter((part) => part !== '')) {
    const lower = word.toLowerCase();
    if (lower === 'up') health = {isUp: true, word};
    else if (lower === 'down' || lower === 'stopped' || lower === 'fail') health = {isUp: false, word};
    else if (lower === 'ready' || lower === 'drain' || lower === 'maint') admin = lower;
    else if (/^\d.*%/.test(word)) weight = word;
    else if (lower.startsWith('maxconn:')) maxconn = word.slice('maxconn:'.length);
    else unknown ??= word;
  }
  return {health, admin, weight, maxconn, unknown, reason: comment};
}
