import type {TicketKeysControl} from '../admin/gateway-control.ts';
import type {TicketKeys} from '../edge/tls/ticket-keys.ts';

/** @param added told of a new key, for other threads */
export function ticketKeysControl(keys: TicketKeys, added: (key: Buffer) => void): TicketKeysControl {
  return {
    path: keys.path,
    keys: keys.keys,
    add(key) {
      keys.add(key);
      added(key);
    },
  };
}
