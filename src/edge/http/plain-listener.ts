/** Listeners of frontends whose binds have neither TLS nor a PROXY header. */
import type {Bind, FrontendConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import {errorMessage} from '../../core/errors.ts';
import type {Log} from '../../core/log.ts';
import {plainAddress} from '../addresses.ts';
import {openTcpListener} from '../tcp-listener.ts';
import type {Accepted, HttpListener} from './http-frontend.ts';

let connectionCount = 0;

/** @throws CodedError ERR_BIND */
export async function listenPlain(
  {
    config,
    bind,
    ipv6Only,
    clock,
    log,
  }: {readonly config: FrontendConfig; readonly bind: Bind; readonly ipv6Only: boolean; readonly clock: Clock; readonly log: Log},
  accept: (accepted: Accepted) => void,
): Promise<HttpListener> {
  const listener = await openTcpListener({
    frontend: config.name,
    bind,
    ipv6Only,
    onConnection: (socket) => {
      const facts = {
        protocol: 'tcp' as const,
        frontend: config,
        source: {host: plainAddress(socket.remoteAddress ?? ''), port: socket.remotePort ?? 0},
        destination: {host: plainAddress(socket.localAddress ?? ''), port: socket.localPort ?? 0},
        receivedProxy: false,
        tls: null,
        acceptedAtMs: clock.nowMs(),
        id: ++connectionCount,
      };
      accept({socket, facts, acceptedMs: clock.monotonicMs(), handshakeMs: 0});
    },
    onError: (error) => log.error({frontend: config.name, reason: errorMessage(error)}, 'listener'),
  });
  return {
    address: {frontend: config.name, protocol: 'tcp', host: listener.host, port: listener.port},
    pause: () => listener.pause(),
    resume: () => listener.resume(),
    [Symbol.dispose]: () => listener[Symbol.dispose](),
  };
}
