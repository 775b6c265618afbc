/**
 * A connection to Redis that fails fast: while Redis cannot be reached every command is rejected at once with
 * ERR_REDIS_UNAVAILABLE, and the connection is re-established in the background. Nothing is queued or sent again behind the
 * caller's back, because a write that arrives late is worse than one that is known to have failed.
 */
import {once} from 'node:events';
import {setTimeout as sleep} from 'node:timers/promises';
import {Redis, type RedisOptions} from 'ioredis';
import {CodedError, errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import {parseRedisUrl, redactRedisUrl} from '../core/redis-url.ts';

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
  /** `callback` runs each time the connection is back after a loss. */
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

/** Without the option that changes the type of the client. */
type OwnOptions = Omit<RedisOptions, 'replyMapping'>;

const connectTimeoutMs = 5000;
const unavailableReplies = /^(?:LOADING|READONLY|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|BUSY) /;

/** 50 ms doubling up to 2 s, with half of it random, so that many gateways do not come back in one moment. */
function backoffMs(attempt: number): number {
  const fullMs = Math.min(2000, 50 * 2 ** Math.min(attempt - 1, 10));
  return Math.round(fullMs * (0.5 + Math.random() / 2));
}

function redisOptions(options: ConnectOptions, mayRetry: () => boolean): OwnOptions {
  const address = parseRedisUrl(options.url);
  const commandTimeoutMs = options.commandTimeoutMs ?? 5000;
  const common: OwnOptions = {
    lazyConnect: true,
    protocol: 2,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => (mayRetry() ? backoffMs(attempt) : null),
    connectTimeout: connectTimeoutMs,
    commandTimeout: commandTimeoutMs,
    socketTimeout: commandTimeoutMs * 2,
    connectionName: 'picogate',
    disableClientInfo: true,
  };
  if (address.kind === 'unix') return {...common, path: address.path};
  return {
    ...common,
    host: address.host,
    port: address.port,
    db: address.database,
    ...(address.username === null ? {} : {username: address.username}),
    ...(address.password === null ? {} : {password: address.password}),
    ...(address.tls ? {tls: {}} : {}),
  };
}

function isReplyError(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}

function unavailable(url: string, verb: string, cause: unknown): CodedError<'ERR_REDIS_UNAVAILABLE'> {
  return new CodedError('ERR_REDIS_UNAVAILABLE', `Cannot ${verb} Redis "${url}": ${errorMessage(cause)}`, {source: 'host', retryable: true, cause});
}

async function establish(redis: Redis, options: ConnectOptions, url: string): Promise<void> {
  const attempts = options.attempts ?? 5;
  let reason: unknown = new Error('no answer');
  const remember = (error: unknown): void => {
    reason = error;
  };
  redis.on('error', remember);
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        options.signal?.throwIfAborted();
        await redis.connect();
        return;
      } catch (error) {
        options.signal?.throwIfAborted();
        if (!(error instanceof Error) || error.message !== 'Connection is closed.') reason = error;
        // A refused password or database stays refused.
        const refused = isReplyError(reason) && !unavailableReplies.test(reason.message);
        if (attempt >= attempts || refused) throw unavailable(url, 'connect to', reason);
        await sleep(backoffMs(attempt), undefined, options.signal === undefined ? {} : {signal: options.signal});
      }
    }
  } finally {
    redis.off('error', remember);
  }
}

/**
 * Connects, with a bounded number of attempts.
 * @throws CodedError ERR_REDIS_URL, ERR_REDIS_UNAVAILABLE
 */
export async function connectRedis(options: ConnectOptions): Promise<Connection> {
  const url = redactRedisUrl(options.url);
  let wanted = false;
  const redis = new Redis(redisOptions(options, () => wanted));
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
        if (!isReplyError(error) || unavailableReplies.test(error.message)) throw unavailable(url, 'use', error);
        throw new CodedError('ERR_REDIS_COMMAND', `Cannot run Redis command "${command}": ${error.message}`, {source: 'host', cause: error});
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
