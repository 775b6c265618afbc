/**
 * Commands that only read, for a Redis that refuses writes: its disk is full, its memory is, or its replicas are away. Its queues are refused as
 * well then, but not what is published: every gateway that listens runs the command, and the first answer counts.
 */
import {randomUUID} from 'node:crypto';
import {CodedError, errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import type {Connection} from './connection.ts';
import {type ControlHandler, noGateway, parseRequest, type Request, readAnswer, resultOf} from './control-message.ts';
import {type Json, parseJson} from './json.ts';
import {storeKeys} from './keys.ts';

const commandTimeoutMs = 5000;
const maxRunning = 16;

const reading: ReadonlySet<string> = new Set(['explain', 'show', 'metrics', 'top', 'predicted', 'memory', 'logs']);

/** Whether it changes nothing, however often it is run. */
export function isReading(command: string): boolean {
  return reading.has(command);
}

/** Whether Redis is there, and takes no writes. */
export function refusesWrites(error: unknown): boolean {
  return error instanceof CodedError && /(?:^|: -)(?:MISCONF|NOREPLICAS|OOM) /.test(errorMessage(error.cause));
}

interface AsideOptions {
  readonly connection: Connection;
  readonly handlers: ReadonlyMap<string, ControlHandler>;
  readonly worker?: string | undefined;
  readonly log: Log;
  readonly prefix?: string;
  readonly signal: AbortSignal;
}

/** Serves until it is disposed, and waits for what runs. A Redis whose user may not subscribe is no reason not to start. @throws CodedError ERR_REDIS_UNAVAILABLE */
export async function serveAside({connection, handlers, worker, log, prefix, signal: stopping}: AsideOptions): Promise<AsyncDisposable> {
  const keys = storeKeys(prefix);
  const running = new Set<Promise<void>>();
  const run = async (id: string, request: Request): Promise<void> => {
    const result = await resultOf(handlers, request, AbortSignal.any([stopping, AbortSignal.timeout(request.timeoutMs)]));
    try {
      await connection.call('PUBLISH', keys.asideReply(id), JSON.stringify(result));
    } catch (error) {
      log.warn({command: request.command, reason: errorMessage(error)}, 'answer to a command is lost');
    }
  };
  const listener = await connection.duplicate({commandTimeoutMs});
  const channels = [keys.asideRequests(), ...(worker === undefined ? [] : [keys.asideRequests(worker)])];
  const take = (text: string): void => {
    const request = parseRequest(text);
    const id = idOf(text);
    if (request === null || id === null || !isReading(request.command) || running.size >= maxRunning) return;
    const task = run(id, request).finally(() => running.delete(task));
    running.add(task);
  };
  try {
    await listener.listen(channels, take);
  } catch (error) {
    log.warn({reason: errorMessage(error)}, 'commands that only read cannot be answered while Redis refuses writes');
  }
  return {
    async [Symbol.asyncDispose]() {
      await listener[Symbol.asyncDispose]();
      await Promise.allSettled(running);
    },
  };
}

function idOf(text: string): string | null {
  const value = parseJson(text);
  return typeof value === 'object' && value !== null && 'id' in value && typeof value.id === 'string' ? value.id : null;
}

/** @throws CodedError as the handler threw it, ERR_NO_GATEWAY, ERR_REDIS_UNAVAILABLE, and what `signal` aborts with */
export async function askAside(
  connection: Connection,
  request: Request,
  {worker, prefix, signal}: {readonly worker?: string | undefined; readonly prefix?: string; readonly signal?: AbortSignal},
): Promise<Json> {
  const keys = storeKeys(prefix);
  const id = randomUUID();
  const {command, timeoutMs} = request;
  await using listener = await connection.duplicate({commandTimeoutMs});
  const {promise: answered, resolve, reject} = Promise.withResolvers<string>();
  await listener.listen([keys.asideReply(id)], resolve);
  const late = setTimeout(() => reject(noGateway(command, timeoutMs)), timeoutMs);
  const stop = (): void => reject(signal?.reason);
  signal?.addEventListener('abort', stop, {once: true});
  try {
    const [text] = await Promise.all([answered, connection.call('PUBLISH', keys.asideRequests(worker), JSON.stringify({id, ...request}))]);
    return readAnswer(command, text);
  } finally {
    clearTimeout(late);
    signal?.removeEventListener('abort', stop);
  }
}
