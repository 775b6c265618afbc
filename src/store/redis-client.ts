/** The client of ioredis for each kind of address. None queues commands while it is not connected; all come back by themselves when it is wanted. */
import {Cluster, Redis, type RedisOptions} from 'ioredis';
import type {RedisAddress, RedisHost} from '../core/redis-url.ts';

export interface ClientOptions {
  readonly commandTimeoutMs: number;
  /** Whether a lost connection is to be made again. */
  readonly mayRetry: () => boolean;
}

/** Without the option that changes the type of the client. */
type OwnOptions = Omit<RedisOptions, 'replyMapping'>;

const connectTimeoutMs = 5000;
/** ioredis waits so long for the end of a socket that has long ended, and the process with it. */
const disconnectTimeoutMs = 100;
/** How often a command that a node of a cluster passes on, or that a node is lost with, is tried at another, and with what pause. */
const clusterTries = 8;
const clusterPauseMs = 50;

/** 50 ms doubling up to 2 s, with half of it random, so that many gateways do not come back in one moment. */
export function backoffMs(attempt: number): number {
  const fullMs = Math.min(2000, 50 * 2 ** Math.min(attempt - 1, 10));
  return Math.round(fullMs * (0.5 + Math.random() / 2));
}

/** Not connected yet. */
export function redisClient(address: RedisAddress, options: ClientOptions): Redis | Cluster {
  const common = commonOptions(options);
  switch (address.kind) {
    case 'unix':
      return new Redis({...common, path: address.path});
    case 'tcp':
      return new Redis({...common, host: address.host, port: address.port, db: address.database, ...accessOptions(address)});
    case 'sentinel':
      return sentinelClient(address, common);
    case 'cluster':
      return clusterClient(address, common);
    default:
      return address satisfies never;
  }
}

function commonOptions({commandTimeoutMs, mayRetry}: ClientOptions): OwnOptions & {readonly retryStrategy: (attempt: number) => number | null} {
  return {
    lazyConnect: true,
    protocol: 2,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => (mayRetry() ? backoffMs(attempt) : null),
    // A master that has become a replica refuses writes: the next connection finds its successor.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    connectTimeout: connectTimeoutMs,
    disconnectTimeout: disconnectTimeoutMs,
    commandTimeout: commandTimeoutMs,
    socketTimeout: commandTimeoutMs * 2,
    connectionName: 'picogate',
    disableClientInfo: true,
  };
}

function accessOptions({username, password, tls}: Extract<RedisAddress, {readonly tls: boolean}>): OwnOptions {
  return {
    ...(username === null ? {} : {username}),
    ...(password === null ? {} : {password}),
    ...(tls ? {tls: {}} : {}),
  };
}

function sentinelClient(address: Extract<RedisAddress, {kind: 'sentinel'}>, common: ReturnType<typeof commonOptions>): Redis {
  const {sentinels, master, database, sentinelUsername, sentinelPassword, tls} = address;
  return new Redis({
    ...common,
    sentinels: copies(sentinels),
    name: master,
    db: database,
    ...accessOptions(address),
    ...(tls ? {enableTLSForSentinelMode: true, sentinelTLS: {}} : {}),
    ...(sentinelUsername === null ? {} : {sentinelUsername}),
    ...(sentinelPassword === null ? {} : {sentinelPassword}),
    // Without it a moment without Sentinels would be the end of the client.
    sentinelRetryStrategy: common.retryStrategy,
    sentinelCommandTimeout: connectTimeoutMs,
    // Leaves a master that the Sentinels have replaced though we can still reach it: what it accepts would be lost.
    failoverDetector: true,
  });
}

function clusterClient(address: Extract<RedisAddress, {kind: 'cluster'}>, common: ReturnType<typeof commonOptions>): Cluster {
  // The cluster finds the new place of a slot, not the connection to the old one.
  const {retryStrategy, reconnectOnError: _, enableOfflineQueue: __, lazyConnect: ___, ...node} = common;
  return new Cluster(copies(address.nodes), {
    lazyConnect: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: (attempt) => retryStrategy(attempt),
    maxRedirections: clusterTries,
    retryDelayOnFailover: clusterPauseMs,
    retryDelayOnTryAgain: clusterPauseMs,
    // Callers know how long they can wait.
    retryDelayOnClusterDown: 0,
    // A certificate is for a name.
    dnsLookup: (name, callback) => callback(null, name),
    redisOptions: {...node, ...accessOptions(address)},
  });
}

function copies(hosts: readonly RedisHost[]): RedisHost[] {
  return hosts.map(({host, port}) => ({host, port}));
}
