/** What the rest of the edge does for checks, as simple as a test needs it. */
import {once} from 'node:events';
import {connect} from 'node:tls';
import type {CheckServices} from '../../../src/edge/checks/check-connection.ts';
import type {CheckSamples} from '../../../src/edge/checks/check-samples.ts';
import {createProcessVariables} from '../../../src/edge/samples/variables.ts';
import {compiler, emptySurroundings} from '../samples/sample-fixture.ts';

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

/** Of a gateway that has nothing to ask about. */
export const checkSamples: CheckSamples = {compiler, processVariables: createProcessVariables(), surroundings: emptySurroundings};
