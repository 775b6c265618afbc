import {createLog} from '../../src/core/log.ts';
import type {AppFields} from '../../src/store/app-record.ts';
import {type Connection, connectRedis} from '../../src/store/connection.ts';
import {type EmbeddedRedis, startEmbeddedRedis} from '../../src/store/redis-server.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

export const silent = createLog('silent');

/** Of an app that was never run. */
export const freshFields: AppFields = {
  state: 'stopped',
  residency: 'none',
  worker: null,
  since: 1000,
  lastWake: null,
  lastHibernate: null,
  lastError: null,
  lastExit: null,
  details: null,
};

export interface TestRedis extends AsyncDisposable {
  readonly directory: string;
  readonly server: EmbeddedRedis;
  readonly connection: Connection;
}

/** A private Redis in a directory of its own, with one connection; all gone when disposed. */
export async function testRedis(): Promise<TestRedis> {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const server = scope.use(await startEmbeddedRedis({stateDir: directory.path, runtimeDir: `${directory.path}/run`, log: silent}));
  const connection = scope.use(await connectRedis({url: server.url, log: silent}));
  const owned = scope.move();
  return {directory: directory.path, server, connection, [Symbol.asyncDispose]: () => owned.disposeAsync()};
}
