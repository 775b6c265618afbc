/** `set server B/S check-addr` and `check-port` (management manual, section 9.3). */
import {isIP} from 'node:net';
import {refuse} from './command.ts';
import {portNumber} from './find-proxy.ts';
import type {ServerControl} from './gateway-control.ts';

/** @throws CommandRefusal */
export function setCheck(server: ServerControl, what: 'check-addr' | 'check-port', [value = '', word, port = '']: readonly string[]): string {
  if (value === '') return refuse(`set server <b>/<s> ${what} requires ${what === 'check-addr' ? 'an address and optionally a port' : 'a port'}.\n`);
  if (server.check?.enabled !== true) return refuse('health checks are not enabled on this server');
  if (what === 'check-port') {
    server.setCheckPlace({port: ownPort(value)});
    return '';
  }
  const address = value === '*' ? '0.0.0.0' : value.replace(/^\[(.*)\]$/, '$1');
  if (isIP(address) === 0 || address.includes('%')) return refuse(`invalid addr '${value}'`);
  server.setCheckPlace({address, ...(word === 'port' ? {port: ownPort(port)} : {})});
  return '';
}

/** Null: that of the server. */
function ownPort(text: string): number | null {
  const port = portNumber(text);
  return port === 0 ? null : port;
}
