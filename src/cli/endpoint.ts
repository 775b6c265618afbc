/** Where a worker has an app, as workers and edges tell each other through Redis. */
import {CodedError} from '../core/errors.ts';
import type {Json} from '../store/json.ts';
import type {Endpoint} from '../supervisor/app-locator.ts';

/** What only the host itself can reach. */
export interface PrivateEndpoint extends Endpoint {
  /** The address of this host towards its apps, which it has while they can be reached. Undefined: the endpoint can be reached from everywhere. */
  readonly from?: string | undefined;
}

export function endpointJson({host, ports, from}: PrivateEndpoint): Json {
  return {host, ports, from: from ?? null};
}

/** @throws CodedError ERR_BAD_STATE */
export function parseEndpoint(value: Json): PrivateEndpoint {
  const {host, ports} = typeof value === 'object' && value !== null && 'host' in value ? value : {host: null, ports: null};
  if (typeof host !== 'string' || typeof ports !== 'object' || ports === null || Array.isArray(ports)) {
    throw new CodedError('ERR_BAD_STATE', 'Cannot reach an app at another worker: its answer cannot be read', {source: 'host'});
  }
  const numbers = Object.entries(ports).flatMap(([key, port]) => (typeof port === 'number' ? [[key, port] as const] : []));
  const from = typeof value === 'object' && value !== null && 'from' in value && typeof value.from === 'string' ? value.from : undefined;
  return {host, ports: Object.fromEntries(numbers), from};
}
