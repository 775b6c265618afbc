/** Where the checks of a server go, those of its health and those of its agent. */
import type {CheckPlace} from '../../config/health.ts';
import type {Target} from '../../config/proxy-value.ts';
import type {AppWatch} from '../app-access.ts';
import type {CheckAddress} from './check-connection.ts';

/** Null: an app that sleeps, or of which it is not known where it is. */
export function checkAddress(target: Target, configured: CheckPlace, watch: AppWatch | null): CheckAddress | null {
  const {port} = configured;
  // As in HAProxy, these are no addresses.
  const address = configured.address === '0.0.0.0' || configured.address === '::' ? null : configured.address;
  switch (target.kind) {
    case 'address':
      return {host: address ?? target.host, port: port ?? target.port};
    case 'unix':
      if (address !== null && port !== null) return {host: address, port};
      return {path: target.abstract ? `\0${target.path}` : target.path};
    case 'app': {
      if (address !== null) return watch?.isAwake(target.app) === true ? {host: address, port: port ?? target.port} : null;
      const place = watch?.checkPlace(target.app, port ?? target.port) ?? null;
      return place === null ? null : {host: place.host, port: place.port, ...(place.from === null ? {} : {localAddress: place.from})};
    }
    default:
      return target satisfies never;
  }
}
