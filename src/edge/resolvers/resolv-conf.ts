/** The name servers of resolv.conf(5). */
import {isIP} from 'node:net';
import type {NameserverConfig} from '../../config/resolvers.ts';

/** As `parse-resolv-conf` has it: lines that are not understood are passed over. */
export function parseResolvConf(text: string): readonly NameserverConfig[] {
  return text.split('\n').flatMap((line) => {
    const [, host = ''] = /^\s*nameserver\s+(\S+)/.exec(line) ?? [];
    return isIP(host) === 0 ? [] : [{name: host, protocol: 'udp', host, port: 53} as const];
  });
}
