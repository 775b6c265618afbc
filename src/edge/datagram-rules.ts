/** What the language says about datagrams: `use_backend` on a session's first one, and the PROXY header in each. */
import type {FrontendConfig} from '../config/proxy-value.ts';
import type {EdgeParts} from './edge-parts.ts';
import type {Pool} from './pool/pool.ts';
import {splitProxiedDatagram} from './proxy-protocol/receive-proxy-header.ts';
import {proxyHeaderWriter} from './proxy-protocol/send-proxy-header.ts';
import {compileBackendChoice} from './session/routes.ts';
import {SessionContext} from './session/session-context.ts';
import type {DatagramProxyCodec, FirstDatagram} from './udp-proxy-header.ts';

let datagramSessions = 0;

/** Null: no rule has a backend for it. @throws CodedError of the compiler */
export function datagramChoice(config: FrontendConfig, {compiler, routeOf, entrance, clock}: EdgeParts): (first: FirstDatagram) => Pool | null {
  const choose = compileBackendChoice(config, compiler, routeOf);
  return ({source, destination, payload, receivedProxy}) => {
    const route = choose(() => {
      const connection = {
        protocol: 'udp' as const,
        frontend: config,
        source: {...source},
        destination: {...destination},
        receivedProxy,
        tls: null,
        acceptedAtMs: clock.nowMs(),
        id: ++datagramSessions,
      };
      const context = new SessionContext(connection, entrance.contextParts);
      context.payload = payload;
      context.inspectionEnded = true;
      return context;
    });
    return route?.pool ?? null;
  };
}

const write = proxyHeaderWriter('v2', []);

/** Datagrams have version 2 only. */
export const datagramProxyCodec: DatagramProxyCodec = {
  read(datagram) {
    const buffer = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength);
    try {
      const {header, payload} = splitProxiedDatagram(buffer);
      const {addresses, local} = header;
      const known = !local && addresses?.kind === 'ip' ? {source: addresses.source, destination: addresses.destination} : null;
      return {addresses: known, headerBytes: buffer.length - payload.length};
    } catch {
      return null; // The frontend counts what has no right header.
    }
  },
  write: ({source, destination}) => write({protocol: 'udp', source, destination, tls: null, uniqueId: null}),
};
