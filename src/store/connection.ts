/**
 * A connection to Redis that fails fast: while Redis cannot be reached every command is rejected at once with
 * ERR_REDIS_UNAVAILABLE, and the connection is re-established in the background. Nothing is queued or sent again behind the
 * caller's back, because a write that arrives late is worse than one that is known to have failed.
 */
import {once} from 'node:events';
import {setTimeout as sleep} from 'node:timers/promises';
import type {Cluster, Redis} from 'ioredis';
import {CodedError, errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import {type RedisAddress, readRedisUrl, redactRedisUrl} from '../core/redis-url.ts';
import {backoffMs, redisClient} from './redis-client.ts';

export interface Connection extends AsyncDisposable {
  /** For messages; without password. */
  readonly url: string;
  /**
   * Runs one command and returns its reply as it came.
   * @throws CodedError ERR_REDIS_UNAVAILABLE (retryable: it may have been executed, and everything we send may be sent twice)
   * @throws CodedError ERR_REDIS_COMMAND when Redis refused it
   */
  call(command: string, ...args: readonly (string | number)[]): Promise<unknown>;
  /** Another connection to the same server for commands that block; the caller disposes it. */
  duplicate(options: {readonly commandTimeoutMs: number; readonly signal?: AbortSignal}): Promise<Connection>;
  /** What is published there goes to `callback`, also after a loss of Redis. The connection is good for nothing else then. @throws as `call()` */
  listen(channels: readonly string[], callback: (text: string) => void): Promise<void>;
  /** `callback` runs each time the connection is back after a loss, and when a node of a cluster is lost: the last writes may be gone then. */
  onReconnect(callback: () => void): Disposable;
}

export interface ConnectOptions {
  readonly url: string;
  readonly log: Log;
  /** How many times the first connection is tried; default 5, about one second. */
  readonly attempts?: number;
  /** A command without reply for so long counts as failed, and after twice as long the socket is given up. Default 5000. */
  readonly commandTimeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What a server says that is a replica now, is being replaced, or does not yet know its data. A script's error may stand before it. */
const unavailableReplies = /(?:^|: -)(?:LOADING|READONLY|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|BUSY|UNBLOCKED|NOREPLICAS) /;

/** @throws CodedError ERR_REDIS_URL */
function parseRedisUrl(url: string): RedisAddress {
  const address = readRedisUrl(url);
  if (address.kind !== 'invalid') return address;
  throw new CodedError('ERR_REDIS_URL', `Cannot use Redis "${redactRedisUrl(url)}": ${address.reason}`, {source: 'client'});
}

function isReplyError(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}

function unavailable(url: string, verb: string, cause: unknown): CodedError<'ERR_REDIS_UNAVAILABLE'> {
  return new CodedError('ERR_REDIS_UNAVAILABLE', `Cannot ${verb} Redis "${url}": ${errorMessage(cause)}`, {source: 'host', retryable: true, cause});
}

function failed(url: string, command: string, error: unknown): CodedError {
  if (!isReplyError(error) || unavailableReplies.test(error.message)) return unavailable(url, 'use', error);
  return new CodedError('ERR_REDIS_COMMAND', `Cannot run Redis command "${command}": ${error.message}`, {source: 'host', cause: error});
}

const notReady = 'it is not ready';
/** What ioredis says when it has said before what the reason was. */
const emptyReasons = new Set(['Connection is closed.', 'None of startup nodes is available', 'Failed to refresh slots cache.']);

/** A cluster that is found and not ready ends without a word from `connect()`. @throws whatever ioredis does */
async function connectOnce(redis: Redis | Cluster): Promise<void> {
  const {promise: ended, reject} = Promise.withResolvers<never>();
  const end = (): void => reject(new Error(notReady));
  redis.once('end', end);
  try {
    await Promise.race([redis.connect(), ended]);
  } finally {
    redis.off('end', end);
  }
}

async function establish(redis: Redis | Cluster, options: ConnectOptions, url: string): Promise<void> {
  const attempts = options.attempts ?? 5;
  let reason: unknown = new Error('no answer');
  const remember = (error: unknown): void => {
    if (!emptyReasons.has(errorMessage(error))) reason = error;
  };
  const events = ['error', 'node error'] as const;
  for (const event of events) redis.on(event, remember);
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        options.signal?.throwIfAborted();
        await connectOnce(redis);
        return;
      } catch (error) {
        options.signal?.throwIfAborted();
        remember(error);
        // A refused password or database stays refused.
        const refused = isReplyError(reason) && !unavailableReplies.test(reason.message);
        if (attempt >= attempts || refused) throw unavailable(url, 'connect to', reason);
        await sleep(backoffMs(attempt), undefined, options.signal === undefined ? {} : {signal: options.signal});
      }
    }
  } finally {
    for (const event of events) redis.off(event, remember);
  }
}

/**
 * Connects, with a bounded number of attempts.
 * @throws CodedError ERR_REDIS_URL, ERR_REDIS_UNAVAILABLE
 */
export async function connectRedis(options: ConnectOptions): Promise<Connection> {
  const url = redactRedisUrl(options.url);
  let wanted = false;
  const redis = redisClient(parseRedisUrl(options.url), {commandTimeoutMs: options.commandTimeoutMs ?? 5000, mayRetry: () => wanted});
  let lost = false;
  redis.on('error', (error: unknown) => {
    if (!wanted || lost) return;
    lost = true;
    options.log.warn({redis: url, reason: errorMessage(error)}, 'Redis is lost, connecting again');
  });
  redis.on('close', () => {
    if (!wanted || lost) return;
    lost = true;
    options.log.warn({redis: url, reason: 'connection closed'}, 'Redis is lost, connecting again');
  });
  const reconnected = new Set<() => void>();
  redis.on('ready', () => {
    if (!lost) return;
    lost = false;
    options.log.info({redis: url}, 'Redis is back');
    for (const callback of reconnected) callback();
  });
  redis.on('-node', () => {
    if (!wanted) return;
    options.log.warn({redis: url}, 'a node of the cluster is lost');
    for (const callback of reconnected) callback();
  });
  try {
    await establish(redis, options, url);
  } catch (error) {
    redis.disconnect();
    throw error;
  }
  wanted = true;
  return {
    url,
    async call(command, ...args) {
      try {
        return await redis.call(command, [...args]);
      } catch (error) {
        throw failed(url, command, error);
      }
    },
    async listen(channels, callback) {
      redis.on('message', (_channel: string, text: string) => callback(text));
      try {
        await redis.subscribe(...channels);
      } catch (error) {
        throw failed(url, 'SUBSCRIBE', error);
      }
    },
    duplicate: ({commandTimeoutMs, signal}) => connectRedis({...options, commandTimeoutMs, ...(signal === undefined ? {} : {signal})}),
    onReconnect(callback) {
      const own = (): void => callback();
      reconnected.add(own);
      return {[Symbol.dispose]: () => void reconnected.delete(own)};
    },
    async [Symbol.asyncDispose]() {
      wanted = false;
      reconnected.clear();
      // Between two attempts there is no socket whose end could be waited for.
      const hasSocket = ['connecting', 'connect', 'ready'].includes(redis.status);
      const ended = hasSocket ? once(redis, 'end') : null;
      redis.disconnect();
      await ended;
    },
  };
}
