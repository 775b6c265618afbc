/**
 * Commands for the gateway, through Redis, so that they can be given on any host. A request is a key with an expiry and its id in a
 * queue: the gateway takes both, or finds the request gone and does nothing, so that a command is never executed after its caller
 * has given up. The answer waits for the caller in a key that expires as well.
 */
import {randomUUID} from 'node:crypto';
import {setTimeout as sleep} from 'node:timers/promises';
import {CodedError, type ErrorSource, errorCode, errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import type {Connection} from './connection.ts';
import {type Json, parseJson} from './json.ts';
import {storeKeys} from './keys.ts';
import {listReply} from './reply.ts';
import {loadScript, runScript} from './script.ts';

const submit = loadScript('submit-request-2');
const answer = loadScript('answer-request-1');

const maxQueued = 1000;
const maxRunning = 64;
/** Each end of it wakes an idle gateway. */
const blockSeconds = 8;
/** A Redis that has not answered so long after that is not there. */
const lateMs = 2000;
const answerTtlMs = 10_000;
const retryMs = 250;

/** Runs one command. What it throws goes back to the caller. `signal` aborts when the caller has given up, or the gateway stops. */
export type ControlHandler = (args: Json, signal: AbortSignal) => Promise<Json>;

interface Request {
  readonly command: string;
  readonly args: Json;
  readonly timeoutMs: number;
}

type Answer =
  | {readonly ok: true; readonly value: Json}
  | {readonly ok: false; readonly code: string; readonly message: string; readonly source: ErrorSource; readonly retryable: boolean};

function parseRequest(text: string): Request | null {
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null || !('command' in value) || !('args' in value) || !('timeoutMs' in value)) return null;
  const {command, args, timeoutMs} = value;
  return typeof command === 'string' && typeof timeoutMs === 'number' ? {command, args, timeoutMs} : null;
}

const sources: readonly ErrorSource[] = ['client', 'server', 'host', 'bug'];

function parseAnswer(text: string): Answer | null {
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null || !('ok' in value)) return null;
  if (value.ok === true) return {ok: true, value: 'value' in value ? (value.value ?? null) : null};
  if (!('code' in value) || !('message' in value) || !('source' in value)) return null;
  const {code, message} = value;
  const source = sources.find((known) => known === value.source);
  if (typeof code !== 'string' || typeof message !== 'string' || source === undefined) return null;
  return {ok: false, code, message, source, retryable: 'retryable' in value && value.retryable === true};
}

function failure(error: unknown): Answer {
  const coded = error instanceof CodedError ? error : null;
  return {
    ok: false,
    code: errorCode(error) ?? 'ERR_UNEXPECTED',
    message: errorMessage(error),
    source: coded?.source ?? 'bug',
    retryable: coded?.retryable ?? false,
  };
}

export interface ControlOptions {
  readonly connection: Connection;
  readonly handlers: Readonly<Record<string, ControlHandler>>;
  /** Takes requests for this worker too. */
  readonly worker?: string | undefined;
  readonly log: Log;
  readonly prefix?: string;
}

/** For as long as the caller may be waiting; Redis may be away for a moment. Never throws. */
async function leaveAnswer(
  {connection, log, prefix}: ControlOptions,
  {id, command, result, isStopped}: {readonly id: string; readonly command: string; readonly result: Answer; readonly isStopped: () => boolean},
): Promise<void> {
  const key = storeKeys(prefix).controlReply(id);
  for (const deadline = performance.now() + answerTtlMs; ; await sleep(retryMs)) {
    try {
      await runScript(connection, answer, [key], [JSON.stringify(result), answerTtlMs]);
      return;
    } catch (error) {
      if (errorCode(error) === 'ERR_REDIS_UNAVAILABLE' && performance.now() < deadline && !isStopped()) continue;
      log.warn({command, reason: errorMessage(error)}, 'answer to a command is lost');
      return;
    }
  }
}

/**
 * Serves commands until it is disposed: then it takes no more, aborts what runs and waits for it. Requests that were not taken
 * stay for another gateway until they expire. Survives losses of Redis.
 */
export async function serveControl(options: ControlOptions): Promise<AsyncDisposable> {
  const {connection, log} = options;
  const keys = storeKeys(options.prefix);
  const handlers = new Map(Object.entries(options.handlers));
  const queues = [...(options.worker === undefined ? [] : [keys.controlQueue(options.worker)]), keys.controlQueue()];
  const blocking = await connection.duplicate({commandTimeoutMs: blockSeconds * 1000 + lateMs});
  const stopping = new AbortController();
  const running = new Set<Promise<void>>();
  const stopped = (): boolean => stopping.signal.aborted;

  const execute = async (id: string, request: Request): Promise<void> => {
    let result: Answer;
    try {
      const handler = handlers.get(request.command);
      if (handler === undefined) {
        throw new CodedError('ERR_UNKNOWN_COMMAND', `Cannot run command "${request.command}": this gateway does not know it`, {source: 'client'});
      }
      const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(request.timeoutMs)]);
      result = {ok: true, value: await handler(request.args, signal)};
    } catch (error) {
      result = failure(error);
    }
    await leaveAnswer(options, {id, command: request.command, result, isStopped: stopped});
  };

  const takeOne = async (): Promise<void> => {
    if (running.size >= maxRunning) await Promise.race(running);
    const taken = await blocking.call('BLPOP', ...queues, blockSeconds);
    if (taken === null) return;
    const id = listReply(keys.controlQueue(), taken)[1] ?? '';
    // On the connection that has just answered: after a failover the other may not be back yet.
    const text = await blocking.call('GETDEL', keys.controlRequest(id));
    if (typeof text !== 'string') return;
    const request = parseRequest(text);
    if (request === null) {
      log.warn({request: text.slice(0, 200)}, 'a command that cannot be read was dropped');
      return;
    }
    const task = execute(id, request).finally(() => running.delete(task));
    running.add(task);
  };

  const serving = (async () => {
    while (!stopped()) {
      try {
        await takeOne();
      } catch (error) {
        if (stopped()) return;
        if (errorCode(error) !== 'ERR_REDIS_UNAVAILABLE') log.error({reason: errorMessage(error)}, 'control queue cannot be read');
        await sleep(retryMs, undefined, {signal: stopping.signal}).catch(() => {
          // Only cut short by the stop that the loop looks for.
        });
      }
    }
  })();

  return {
    async [Symbol.asyncDispose]() {
      if (!stopping.signal.aborted)
        stopping.abort(new CodedError('ERR_STOPPING', 'Cannot go on with the command: the gateway stops', {source: 'host', retryable: true}));
      await blocking[Symbol.asyncDispose]();
      await serving;
      await Promise.allSettled(running);
    },
  };
}

export interface CallOptions {
  readonly timeoutMs: number;
  /** Only this one may take the command. */
  readonly worker?: string | undefined;
  readonly prefix?: string;
  readonly signal?: AbortSignal;
}

/**
 * Gives a command to the gateway and waits for its answer.
 * @throws CodedError as the handler threw it; ERR_NO_GATEWAY when nobody took the command in time (it will not be executed);
 *   ERR_CONTROL_TIMEOUT when it was taken but not answered; ERR_REDIS_UNAVAILABLE
 */
export async function callControl(connection: Connection, command: string, args: Json, options: CallOptions): Promise<Json> {
  const {timeoutMs} = options;
  const keys = storeKeys(options.prefix);
  const queue = keys.controlQueue(options.worker);
  const id = randomUUID();
  const request: Request = {command, args, timeoutMs};
  await using blocking = await connection.duplicate({commandTimeoutMs: timeoutMs + 5000});
  const stop = (): void => void blocking[Symbol.asyncDispose]();
  options.signal?.addEventListener('abort', stop, {once: true});
  try {
    await runScript(connection, submit, [queue, keys.controlRequest(id)], [id, JSON.stringify(request), timeoutMs, maxQueued]);
    return await readAnswer(command, await blocking.call('BLPOP', keys.controlReply(id), (timeoutMs / 1000).toFixed(3)), () =>
      withdraw(connection, {queue, request: keys.controlRequest(id)}, id, request),
    );
  } catch (error) {
    if (options.signal?.aborted) await connection.call('DEL', keys.controlRequest(id));
    options.signal?.throwIfAborted();
    throw error;
  } finally {
    options.signal?.removeEventListener('abort', stop);
  }
}

async function readAnswer(command: string, reply: unknown, onNone: () => Promise<never>): Promise<Json> {
  if (reply === null) return onNone();
  const result = parseAnswer(listReply('control reply', reply)[1] ?? '');
  if (result === null) throw new CodedError('ERR_BAD_STATE', `Cannot run command "${command}": its answer cannot be read`, {source: 'host'});
  if (result.ok) return result.value;
  throw new CodedError(result.code, result.message, {source: result.source, retryable: result.retryable});
}

/** After the time is over: tells a command that nobody took from one that takes too long, and makes sure the former never runs. */
async function withdraw(
  connection: Connection,
  keys: {readonly queue: string; readonly request: string},
  id: string,
  {command, timeoutMs}: Request,
): Promise<never> {
  await connection.call('DEL', keys.request);
  const untaken = (await connection.call('LREM', keys.queue, 1, id)) === 1;
  if (untaken) {
    throw new CodedError('ERR_NO_GATEWAY', `Cannot run command "${command}": no gateway took it within ${timeoutMs} ms; is it running?`, {
      source: 'host',
      retryable: true,
    });
  }
  throw new CodedError('ERR_CONTROL_TIMEOUT', `Cannot wait for command "${command}": no answer within ${timeoutMs} ms, it may still be at work`, {
    source: 'server',
  });
}
