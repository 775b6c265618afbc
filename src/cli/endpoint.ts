/** Where a worker has an app, as workers and edges tell each other through Redis. */
import {CodedError} from '../core/errors.ts';
import type {Json} from '../store/json.ts';
import type {Endpoint} from '../supervisor/app-locator.ts';

export function endpointJson({host, ports}: Endpoint): Json {
  return {host, ports};
}

/** @throws CodedError ERR_BAD_STATE */
export function parseEndpoint(value: Json): Endpoint {
  const {host, ports} = typeof value === 'object' && value !== null && 'host' in value ? value : {host: null, ports: null};
  if (typeof host !== 'string' || typeof ports !== 'object' || ports === null || Array.isArray(ports)) {
    throw new CodedError('ERR_BAD_STATE', 'Cannot reach an app at another worker: its answer cannot be read', {source: 'host'});
  }
  const numbers = Object.entries(ports).flatMap(([key, port]) => (typeof port === 'number' ? [[key, port] as const] : []));
  return {host, ports: Object.fromEntries(numbers)};
}
