/**
 * Commands for the gateway, through Redis, so that they can be given on any host. A request is a key with an expiry and its id in a
 * queue: the gateway takes both, or finds the request gone and does nothing, so that a command is never executed after its caller
 * has given up. The answer waits for the caller in a key that expires as well. Where Redis refuses writes see control-aside.ts.
 */
import {randomUUID} from 'node:crypto';
import {setTimeout as sleep} from 'node:timers/promises';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import type {Connection} from './connection.ts';
import {askAside, isReading, refusesWrites, serveAside} from './control-aside.ts';
import {type Answer, type ControlHandler, noGateway, parseRequest, type Request, readAnswer, resultOf} from './control-message.ts';
import type {Json} from './json.ts';
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
  const aside = await serveAside({...options, handlers, signal: stopping.signal});
  const running = new Set<Promise<void>>();
  const stopped = (): boolean => stopping.signal.aborted;

  const execute = async (id: string, request: Request): Promise<void> => {
    const result = await resultOf(handlers, request, AbortSignal.any([stopping.signal, AbortSignal.timeout(request.timeoutMs)]));
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
    let isRead = true;
    while (!stopped()) {
      try {
        await takeOne();
        isRead = true;
      } catch (error) {
        if (stopped()) return;
        // Once, however long it lasts: the reason may be a full disk.
        if (isRead && errorCode(error) !== 'ERR_REDIS_UNAVAILABLE') log.error({reason: errorMessage(error)}, 'control queue cannot be read');
        isRead = false;
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
      await aside[Symbol.asyncDispose]();
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
    const reply = await blocking.call('BLPOP', keys.controlReply(id), (timeoutMs / 1000).toFixed(3));
    if (reply === null) return await withdraw(connection, {queue, request: keys.controlRequest(id)}, id, request);
    return readAnswer(command, listReply('control reply', reply)[1] ?? '');
  } catch (error) {
    if (refusesWrites(error) && isReading(command)) return await askAside(connection, request, options);
    if (options.signal?.aborted) await connection.call('DEL', keys.controlRequest(id));
    options.signal?.throwIfAborted();
    throw error;
  } finally {
    options.signal?.removeEventListener('abort', stop);
  }
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
  if (untaken) throw noGateway(command, timeoutMs);
  throw new CodedError('ERR_CONTROL_TIMEOUT', `Cannot wait for command "${command}": no answer within ${timeoutMs} ms, it may still be at work`, {
    source: 'server',
  });
}
