import type {Trigger} from '../../core/trigger.ts';
import {parseClientHello} from '../inspect/client-hello.ts';
import type {SocketFacts} from './connection-facts.ts';

/** Without the port, which is the server's. */
export type ConnectionTrigger = Omit<Extract<Trigger, {readonly source: string}>, 'port'>;

/** What a wake is told of the connection that causes it. The name is that of TLS that ended here, or in front of us, or passes through. */
export function connectionTrigger({source, tls, header}: SocketFacts, firstBytes: Buffer | null): ConnectionTrigger {
  const plain = {kind: 'connection', protocol: 'tcp', source: source.host} as const;
  const hello = firstBytes === null ? null : parseClientHello(firstBytes);
  const sni = tls?.sni ?? header?.authority ?? (hello?.kind === 'complete' ? hello.sni : null);
  return sni === null ? plain : {...plain, sni};
}
