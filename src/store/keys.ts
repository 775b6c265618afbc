import {CodedError} from '../core/errors.ts';
import type {AppName} from '../core/ids.ts';

/** The names of all our keys. Those of one app, and those of the control queue, share a hash tag each: one slot of a Redis Cluster. */
export interface Keys {
  app(name: AppName): string;
  lease(name: AppName): string;
  /** The newest fencing token; never deleted. */
  token(name: AppName): string;
  /** Hash: see store/lua/add-usage-1.lua. */
  usage(name: AppName): string;
  /** Hash of all apps: name to network index. */
  readonly apps: string;
  /** Hash: name to where the app's newest checkpoint is kept. */
  readonly placements: string;
  /** Hash: see store/lua/change-added-apps-1.lua. */
  readonly addedApps: string;
  readonly events: string;
  /** Requests for whoever takes them; of a worker, those for that one. */
  controlQueue(worker?: string): string;
  /** Hash: name of a worker to what it says of itself. */
  readonly workers: string;
  /** Expires when the worker is not heard of any more. */
  heartbeat(worker: string): string;
  /** Expires when no client of the app waits for an answer, at any edge. */
  busy(name: AppName): string;
  /** Expires when, of an app that is about to move, no client waits for an answer any more. */
  unfinished(name: AppName): string;
  /** Who takes care of the apps of a worker that is gone. */
  failover(worker: string): string;
  readonly range: string;
  controlRequest(id: string): string;
  controlReply(id: string): string;
  /** Channels: requests that only read, for all or for one worker, and the answer to one. */
  asideRequests(worker?: string): string;
  asideReply(id: string): string;
}

/** @throws CodedError ERR_BAD_NAME for a prefix that would move or remove the hash tag */
export function storeKeys(prefix = 'picogate'): Keys {
  if (!/^[A-Za-z0-9_.:-]{1,64}$/.test(prefix)) {
    throw new CodedError('ERR_BAD_NAME', `Cannot use "${prefix}" as the prefix of Redis keys: letters, digits and - _ . : are allowed, at most 64`, {
      source: 'client',
    });
  }
  return {
    app: (name) => `${prefix}:{${name}}:app`,
    lease: (name) => `${prefix}:{${name}}:lease`,
    token: (name) => `${prefix}:{${name}}:token`,
    usage: (name) => `${prefix}:{${name}}:usage`,
    apps: `${prefix}:apps`,
    placements: `${prefix}:placements`,
    addedApps: `${prefix}:{added}:apps`,
    events: `${prefix}:events`,
    controlQueue: (worker) => `${prefix}:{control}:queue${worker === undefined ? '' : `:${worker}`}`,
    workers: `${prefix}:workers`,
    heartbeat: (worker) => `${prefix}:heartbeat:${worker}`,
    busy: (name) => `${prefix}:{${name}}:busy`,
    unfinished: (name) => `${prefix}:{${name}}:unfinished`,
    failover: (worker) => `${prefix}:failover:${worker}`,
    range: `${prefix}:range`,
    controlRequest: (id) => `${prefix}:{control}:request:${id}`,
    controlReply: (id) => `${prefix}:{control}:reply:${id}`,
    asideRequests: (worker) => `${prefix}:{control}:aside${worker === undefined ? '' : `:${worker}`}`,
    asideReply: (id) => `${prefix}:{control}:aside-reply:${id}`,
  };
}
