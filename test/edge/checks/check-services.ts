/** What the rest of the edge does for checks, as simple as a test needs it. */
import {once} from 'node:events';
import {connect} from 'node:tls';
import type {Format} from '../../../src/config/sample.ts';
import type {CheckServices} from '../../../src/edge/checks/check-connection.ts';

export const tlsServices: CheckServices = {
  async secure(socket, _server, {sni, alpn, unspoken}) {
    const secured = connect({
      socket,
      rejectUnauthorized: false,
      ...(sni === null ? {} : {servername: sni}),
      ALPNProtocols: (alpn ?? []).filter((name) => !unspoken.includes(name)),
    });
    await once(secured, 'secureConnect');
    return secured;
  },
  proxyHeader: () => Buffer.from('PROXY UNKNOWN\r\n'),
};

export function plainText(format: Format): string {
  return format.map((part) => (part.kind === 'text' ? part.text : '?')).join('');
}
