import type {AppName} from '../core/ids.ts';
import type {Connection} from './connection.ts';
import {storeKeys} from './keys.ts';

/** Which apps have clients that wait for an answer at the edge of a worker. Every method throws CodedError ERR_REDIS_UNAVAILABLE, ERR_REDIS_COMMAND. */
export interface BusyClients {
  /** Holds for `ttlMs`. */
  mark(app: AppName, worker: string, ttlMs: number): Promise<void>;
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
    async isBusyElsewhere(app, worker) {
      const marked = await connection.call('GET', keys.busy(app));
      return marked !== null && marked !== worker;
    },
  };
}
