/**
 * The server's side of a handshake on a connection that was accepted elsewhere. Node's own tls.Server is used without a port: connections are given to it by its
 * `connection` event, which is documented for that. It keeps errors before and after the end of the handshake apart, and verifies the client.
 */
import type {Socket} from 'node:net';
import {createServer, type Server, type TLSSocket, type TlsOptions} from 'node:tls';
import {assert} from '../../core/errors.ts';

/** Longer than any time-out of a caller, whose clock is the one that counts. */
const noTimeoutMs = 2 ** 31 - 1;

export type HandshakeOutcome = {readonly ok: true; readonly socket: TLSSocket} | {readonly ok: false; readonly error: Error; readonly socket: TLSSocket};

export interface Handshaker {
  /** Calls `done` once, when the handshake is over; if the raw socket is destroyed, then too. */
  start(raw: Socket, done: (outcome: HandshakeOutcome) => void): void;
}

/** @throws Error of Node when a certificate, key or list of ciphers is of no use */
export function createHandshaker(options: TlsOptions): Handshaker {
  const pending = new WeakMap<Socket, (outcome: HandshakeOutcome) => void>();
  const settle = (outcome: HandshakeOutcome): void => {
    const raw = rawSocketOf(outcome.socket);
    pending.get(raw)?.(outcome);
    pending.delete(raw);
  };
  const server: Server = createServer({...options, handshakeTimeout: noTimeoutMs});
  server.on('secureConnection', (socket) => settle({ok: true, socket}));
  server.on('tlsClientError', (error, socket) => settle({ok: false, error, socket}));
  return {
    start(raw, done) {
      pending.set(raw, done);
      server.emit('connection', raw);
    },
  };
}

/** The server's events do not say on which of the connections that it was given a TLSSocket stands; the socket does. */
function rawSocketOf(socket: TLSSocket): Socket {
  const raw: unknown = '_parent' in socket ? socket._parent : null;
  assert(isSocket(raw), 'A TLS socket has no socket below');
  return raw;
}

function isSocket(value: unknown): value is Socket {
  return typeof value === 'object' && value !== null && 'remoteAddress' in value;
}
