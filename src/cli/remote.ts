/** What the admin commands know of a running gateway: its Redis, and through it the gateway itself. */
import {once} from 'node:events';
import {connect} from 'node:net';
import type {SourceFile} from '../config/parse.ts';
import type {Config} from '../config/value.ts';
import {CodedError} from '../core/errors.ts';
import {createLog} from '../core/log.ts';
import {type Connection, connectRedis} from '../store/connection.ts';
import {callControl} from '../store/control.ts';
import type {Json} from '../store/json.ts';
import {embeddedRedisPath} from '../store/redis-server.ts';
import {loadValidSources} from './configuration.ts';

export interface GatewayConnection {
  readonly config: Config;
  /** What the configuration was read from. */
  readonly sources: readonly SourceFile[];
  readonly connection: Connection;
}

/** The URL of the Redis that the configuration names, or of the embedded one. */
export function redisUrl(config: Config): string {
  return config.global.redis.kind === 'url' ? config.global.redis.url : `unix:${embeddedRedisPath(config.global.runtimeDir)}`;
}

/** @throws CodedError when the configuration is not valid, or Redis cannot be reached (ERR_NO_GATEWAY: the gateway does not run) */
export async function connectToGateway(files: readonly string[] | undefined): Promise<GatewayConnection> {
  const {config, sources} = await loadValidSources(files, {quiet: true});
  if (config.global.redis.kind === 'embedded') await expectListener(config.global.stateDir, embeddedRedisPath(config.global.runtimeDir));
  const connection = await connectRedis({url: redisUrl(config), log: createLog('silent'), attempts: 1});
  return {config, sources, connection};
}

/** An embedded Redis that is not there means one thing, which is said at once. @throws CodedError ERR_NO_GATEWAY */
async function expectListener(stateDir: string, path: string): Promise<void> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
  } catch (cause) {
    throw new CodedError('ERR_NO_GATEWAY', `Cannot reach the gateway of state directory "${stateDir}": is it running?`, {
      source: 'client',
      retryable: true,
      cause,
    });
  } finally {
    socket.destroy();
  }
}

/** Gives the gateway a command and returns its answer. @throws CodedError as the gateway threw it */
export async function command(files: readonly string[] | undefined, name: string, args: Json, timeoutMs: number): Promise<Json> {
  const {connection} = await connectToGateway(files);
  await using owned = connection;
  return await callControl(owned, name, args, {timeoutMs});
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}
