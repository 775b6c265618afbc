import type {AppName} from '../core/ids.ts';
import type {Connection} from './connection.ts';
import {storeKeys} from './keys.ts';

/** Which apps have clients that wait for an answer at the edge of a worker. Every method throws CodedError ERR_REDIS_UNAVAILABLE, ERR_REDIS_COMMAND. */
export interface BusyClients {
  /** Holds for `ttlMs`. */
  mark(app: AppName, worker: string, ttlMs: number): Promise<void>;
  /** The app is about to move, and such clients are still waited for. Holds for `ttlMs`. */
  markUnfinished(app: AppName, ttlMs: number): Promise<void>;
  /** Whether any worker has such clients. */
  isUnfinished(app: AppName): Promise<boolean>;
  /** Whether another worker than this one has such clients. */
  isBusyElsewhere(app: AppName, worker: string): Promise<boolean>;
}

/** @param options.prefix of all keys; default `picogate` */
export function openBusyClients(connection: Connection, options: {readonly prefix?: string} = {}): BusyClients {
  const keys = storeKeys(options.prefix);
  return {
    async mark(app, worker, ttlMs) {
      await connection.call('SET', keys.busy(app), worker, 'PX', ttlMs);
    },
    async markUnfinished(app, ttlMs) {
      await connection.call('SET', keys.unfinished(app), '1', 'PX', ttlMs);
    },
    async isUnfinished(app) {
      return (await connection.call('GET', keys.unfinished(app))) !== null;
    },
    async isBusyElsewhere(app, worker) {
      const marked = await connection.call('GET', keys.busy(app));
      return marked !== null && marked !== worker;
    },
  };
}
