/** `init-addr`: where a server is when the gateway starts, before any section `resolvers` has asked (HAProxy's manual, 5.2). */
import {lookup} from 'node:dns/promises';
import {CodedError, errorMessage} from '../../core/errors.ts';

export type InitAddressMethod = 'last' | 'libc' | 'none' | {readonly address: string};

export const defaultInitAddress: readonly InitAddressMethod[] = ['last', 'libc'];

export interface InitialAddressOptions {
  /** `backend/server`, for messages. */
  readonly server: string;
  readonly host: string;
  readonly methods: readonly InitAddressMethod[];
  /** The address that it had when the gateway ran last; null: unknown. */
  readonly last: string | null;
  readonly prefer: 'ipv4' | 'ipv6' | null;
}

/**
 * Tries the methods in turn.
 * @returns null with `none`: the server starts without an address, and is down until one is known
 * @throws CodedError ERR_NO_ADDRESS when the methods are used up
 */
export async function initialAddress({server, host, methods, last, prefer}: InitialAddressOptions): Promise<string | null> {
  let reason = 'no method is left to find one';
  for (const method of methods) {
    if (method === 'none') return null;
    if (method === 'last') {
      if (last !== null) return last;
    } else if (method === 'libc') {
      try {
        return await lookUpHere(host, prefer);
      } catch (error) {
        reason = errorMessage(error);
      }
    } else {
      return method.address;
    }
  }
  throw new CodedError('ERR_NO_ADDRESS', `Cannot find the address of server "${server}" ("${host}"): ${reason}`, {source: 'host', retryable: true});
}

async function lookUpHere(host: string, prefer: 'ipv4' | 'ipv6' | null): Promise<string> {
  const found = await lookup(host, {all: true});
  const family = prefer === 'ipv4' ? 4 : 6;
  const best = prefer === null ? found[0] : (found.find((entry) => entry.family === family) ?? found[0]);
  if (best === undefined) throw new Error('the name has no address');
  return best.address;
}
