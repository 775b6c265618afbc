import {CodedError} from '../core/errors.ts';

/** For what only another configuration can do. */
export function refuseChange(what: string): never {
  throw new CodedError('ERR_NOT_POSSIBLE', `Cannot ${what} while the gateway runs: change the configuration and reload`, {source: 'client'});
}
